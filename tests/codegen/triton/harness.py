"""Kernels as modules in files, run by Triton's interpreter: it needs no GPU."""

from __future__ import annotations

import importlib.util
import tempfile
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

_folder = tempfile.TemporaryDirectory(prefix="archc-triton-")


@cache
def module(text: str) -> ModuleType:
    """A text of kernels as a module. Kernels must lie in a file."""
    name = f"kernels_{blake2b(text.encode(), digest_size=8).hexdigest()}"
    path = Path(_folder.name, f"{name}.py")
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made
