"""`python -m archc`."""

from archc.cli.main import script

if __name__ == "__main__":
    script()
