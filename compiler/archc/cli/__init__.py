"""The command line: `main` finds the command, each file beside it is one. What a command needs is imported when it runs.

Ctrl-C is no error to be traced, before `main` is there to catch it either.
"""

from __future__ import annotations

import sys
from types import TracebackType

_before = sys.excepthook


def _quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _before(kind, error, trace)


sys.excepthook = _quiet
