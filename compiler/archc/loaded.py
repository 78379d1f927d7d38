"""Layers as classes, compiled when first asked for. Each lives in a module of its own below `archc.loaded`, whose name says where
it came from, so that pickle finds it again in another process: it compiles the same file with the same choices.
"""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from archc import sources

if TYPE_CHECKING:
    from torch import nn

    from archc.checker.program import Program

__path__: list[str] = []  # a package without files: the finder below makes its modules


class Namespace:
    """The layers of one program as attributes. `dir()` lists them."""

    def __init__(self, program: Program, key: str, static: Mapping[str, object], targets: Sequence[str] = ("torch",)) -> None:
        self._program, self._key, self._static, self._targets = program, key, dict(static), tuple(targets)
        self._names = [declared.name for declared in program.layers]

    def __getattr__(self, name: str) -> type[nn.Module]:
        if name.startswith("__") or name not in self._names:
            raise AttributeError(f"'{self._program.root.path}' has no layer '{name}'; it has {', '.join(self._names) or 'none'}")
        found = _module(self._program, self._key, name, self._static, self._targets)
        layer: type[nn.Module] = found.__dict__["__layer__"]
        setattr(self, name, layer)
        return layer

    def __dir__(self) -> list[str]:
        return self._names

    def __repr__(self) -> str:
        return f"<layers of {self._program.root.path}: {', '.join(self._names)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (self._key,)


def namespace(source: str | Path, static: Mapping[str, object], targets: Sequence[str] = ("torch",)) -> Namespace:
    """The layers of a file or a module of the library, with static choices."""
    from archc import api

    program = api.open_program(source)
    names = [declared.name for declared in program.layers]
    api.check_static(program, names, static)
    name = str(source)
    key = _encoded(name if sources.locate(name) != Path(name) else str(Path(name).resolve()), static, targets)
    return Namespace(program, key, static, targets)


def _encoded(source: str, static: Mapping[str, object], targets: Sequence[str]) -> str:
    """A module name that says what was loaded: its letters are those of the description, in hexadecimal."""
    return "x" + json.dumps([source, dict(sorted(static.items())), *targets], separators=(",", ":")).encode().hex()


def _restored(key: str) -> Namespace:
    from archc import api

    source, static, *targets = json.loads(bytes.fromhex(key.removeprefix("x")))
    return Namespace(api.open_program(source), key, static, targets)


def _module(program: Program, key: str, layer: str, static: Mapping[str, object], targets: Sequence[str]) -> ModuleType:
    """The module of one layer: made anew if the sources have changed since."""
    from archc import api

    full = f"{__name__}.{key}.{layer}"
    digest = api.source_hash(program, static)
    found = sys.modules.get(full)
    if found is not None and found.__dict__.get("__digest__") == digest:
        return found
    files = api.emitted(program, [layer], api.own_static(program, layer, static), targets)
    text = files["modules.py"]
    where = f"<archc {program.root.path} {layer} {digest}>"
    linecache.cache[where] = (len(text), None, text.splitlines(True), where)
    made = ModuleType(full, f"The layer {layer} of {program.root.path}, compiled.")
    made.__file__, made.__package__ = where, f"{__name__}.{key}"
    made.__dict__["__digest__"] = digest
    parent = made.__package__
    if parent not in sys.modules:
        package = ModuleType(parent)
        package.__path__ = []
        sys.modules[parent] = package
    if "kernels.cpp" in files:
        from archc.runtime import native

        native.SOURCES[where] = files["kernels.cpp"]
        sys.modules[f"{parent}.runtime"] = native
    if "kernels.py" in files:
        from archc.runtime import gpu

        gpu.SOURCES[where] = files["kernels.py"]
        sys.modules[f"{parent}.gpu"] = gpu
    exec(compile(text, where, "exec", dont_inherit=True), made.__dict__)  # our own compiler's output
    (title,) = json.loads(files["manifest.json"])["layers"]  # not the layer's own name where that means something else in Python
    made.__dict__["__layer__"] = made.__dict__[title]
    sys.modules[full] = made
    return made


class _Finder(MetaPathFinder, Loader):
    """Imports `archc.loaded.<source>.<layer>` for pickle, by compiling it."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        parts = fullname.removeprefix(f"{__name__}.").split(".")
        if not fullname.startswith(f"{__name__}.x") or len(parts) > 2:
            return None
        return ModuleSpec(fullname, self, is_package=len(parts) == 1)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        parts = spec.name.removeprefix(f"{__name__}.").split(".")
        if len(parts) == 1:
            return None
        space = _restored(parts[0])
        return _module(space._program, parts[0], parts[1], space._static, space._targets)

    def exec_module(self, module: ModuleType) -> None:
        """The module was filled when it was made."""


sys.meta_path.append(_Finder())
