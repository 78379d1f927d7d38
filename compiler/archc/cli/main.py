"""`archc COMMAND ...`: finds the command, runs it, and turns every way to fail into one sentence and an exit status.

0 done; 1 the input is wrong; 2 the usage is wrong; 70 a bug of archc; 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from archc.diagnostics.model import ArchError, CompilerBug
from archc.version import __version__

COMMANDS = {
    "check": "say everything that is wrong with .arch files",
    "fmt": "lay out .arch files in the one way that there is",
    "new": "write a .arch file to start from",
    "compile": "write the layers of a .arch file as a PyTorch package",
    "ir": "print a layer's graph, after any pass",
    "explain": "say what a layer costs: params, arithmetic, memory, by sub-layer",
    "graph": "draw a layer's graph",
    "train": "train a layer on data, with checkpoints",
    "bench": "measure a layer beside other ways to compute it: eager, torch.compile, others' code",
    "lsp": "answer an editor: a language server on standard input and output",
    "cache": "list or remove the kernels that were built on this machine",
    "doctor": "say what this machine can run, and why not",
}
DONE, WRONG_INPUT, WRONG_USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141


class UsageError(Exception):
    """The command line is wrong; the text is one sentence."""


class InputError(Exception):
    """What the command was given is wrong, and no diagnostic of the language fits; the text is one sentence."""


def script() -> NoReturn:
    """The console script."""
    if sys.argv[1:2] == ["check"]:
        gc.disable()  # a short life: collecting its garbage costs a tenth of it
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs a command line; gives the exit status. Nothing escapes as a traceback."""
    try:
        try:
            status = _run(arguments)
        except SystemExit as error:  # argparse: --help, or its own complaint
            status = error.code if isinstance(error.code, int) else WRONG_USAGE
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _complain(str(error), WRONG_USAGE)
    except InputError as error:
        return _complain(str(error), WRONG_INPUT)
    except ArchError as error:
        return _say(str(error), WRONG_INPUT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return BROKEN_PIPE
    except OSError as error:
        _close_output()
        where = f" '{error.filename}'" if error.filename else ""
        return _complain(f"{error.strerror or error}{where}", WRONG_INPUT)
    except CompilerBug as error:
        return _bug(error)
    except Exception as error:
        return _bug(error)


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    if not arguments:
        parser.print_help()
        return WRONG_USAGE
    if arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        raise UsageError(f"there is no command '{arguments[0]}'{_near(arguments[0])} (`archc --help` lists them)")
    if arguments[0] not in COMMANDS:
        parser.parse_args(arguments)
        return DONE
    module = _module(arguments[0])
    options = _parser_of(arguments[0], module).parse_args(arguments[1:])
    command: Callable[[argparse.Namespace], int] = module.run
    return command(options)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {sentence}" for name, sentence in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="archc", description="A compiler for neural-network layers.", usage="archc COMMAND ...",
        epilog=f"commands:\n{listing}\n\n`archc COMMAND --help` says what it takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"archc {__version__}")
    return parser


def _module(command: str) -> ModuleType:
    """The file of a command: `arguments(parser)` declares what it takes, `run(options)` gives the exit status."""
    return import_module(f"archc.cli.{command}")


def _parser_of(command: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"archc {command}", description=f"{COMMANDS[command][0].upper()}{COMMANDS[command][1:]}.",
        epilog=getattr(module, "EXAMPLES", None), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    module.arguments(parser)
    return parser


def _near(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _close_output() -> None:
    """Python flushes standard output once more at exit; where that failed already, it goes nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


def _complain(sentence: str, status: int) -> int:
    return _say(f"archc: {sentence}", status)


def _bug(error: Exception) -> int:
    """A defect of archc: one sentence, and the details in a file that can be sent along."""
    import tempfile
    import traceback

    if os.environ.get("ARCHC_TRACEBACK"):
        traceback.print_exc()
    with tempfile.NamedTemporaryFile("w", prefix="archc-bug-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(f"archc {__version__}, Python {sys.version}, {sys.platform}\n{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    sentence = str(error) if isinstance(error, CompilerBug) else f"{type(error).__name__}: {error}"
    return _complain(f"this is a bug of archc, not of your file: {sentence}\n"
                     f"Please report it with the .arch file and with {file.name}, which holds the details.", BUG)
