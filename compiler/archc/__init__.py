"""archc: a compiler for neural-network layers written as the mathematics in the paper.

    import archc

    Gate = archc.load("gate.arch").Gate        # an nn.Module class
    layer = Gate(channels=64)

`check` says what is wrong with a program, `compile` writes a standalone package, `load` gives the layers as classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from archc.version import __version__

if TYPE_CHECKING:
    from archc.api import check, check_file, compile, load
    from archc.diagnostics.model import ArchError, CompilerBug, Limit, UserError
    from archc.diagnostics.public import Diagnostic

__all__ = [
    "ArchError",
    "CompilerBug",
    "Diagnostic",
    "Limit",
    "UserError",
    "__version__",
    "check",
    "check_file",
    "compile",
    "load",
]

# Imported at first use: importing archc costs a few milliseconds, and torch is loaded only by what needs it.
_HOMES = {
    "check": "archc.api",
    "check_file": "archc.api",
    "compile": "archc.api",
    "load": "archc.api",
    "ArchError": "archc.diagnostics.model",
    "CompilerBug": "archc.diagnostics.model",
    "Limit": "archc.diagnostics.model",
    "UserError": "archc.diagnostics.model",
    "Diagnostic": "archc.diagnostics.public",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'archc' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
