"""`archc cache`: the kernels that have been built on this machine."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  archc cache ls
  archc cache clear"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["ls", "clear"], help="ls: how many there are, where, how large; clear: remove them")


def run(options: argparse.Namespace) -> int:
    from archc.runtime import native

    folder = native.kept()
    files = sorted(folder.glob("*.so"))
    size = sum(file.stat().st_size for file in files)
    if options.what == "clear":
        for file in files:
            file.unlink(missing_ok=True)
    many = "library" if len(files) == 1 else "libraries"
    done = "removed " if options.what == "clear" else ""
    print(f"{folder}: {done}{len(files)} {many}, {size / 2**20:.1f} MiB; ARCHC_CACHE names another folder")
    return 0
