"""The command line: `main` finds the command, each file beside it is one. What a command needs is imported when it runs."""
