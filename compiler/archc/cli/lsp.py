"""`archc lsp`: the language server, for editors."""

from __future__ import annotations

import argparse

from archc.cli.main import InputError

EXAMPLES = """examples:
  archc lsp --stdio

An editor starts this command and talks to it over standard input and output; docs/editors.md says how to set up yours.
It needs the extra `lsp`: pip install 'archc[lsp]'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stdio", action="store_true", help="(the default, and the only way: some editors add it)")


def run(options: argparse.Namespace) -> int:
    from archc.lsp.server import build

    try:
        server = build()
    except ImportError as error:
        raise InputError(f"`archc lsp` needs pygls, which is not installed: pip install 'archc[lsp]' ({error})") from error
    server.start_io()
    return 0
