"""The Python interface: check, compile and load `.arch` programs. It and `sources`, `store` are what touches files."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from archc import sources
from archc.checker.program import Program, check_program, elaborate
from archc.checker.typed import Unit
from archc.diagnostics.model import CompilerBug, Problems
from archc.diagnostics.public import Diagnostic
from archc.syntax import tree
from archc.syntax.tree import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archc.codegen.triton.form import Kernel
    from archc.ir.graph import Graph
    from archc.ir.module import Joined, Method, Module, Package
    from archc.loaded import Namespace

RUN_TIME = frozenset({"axis", "int", "float", "bool"})
"""Kinds of parameters that the emitted class takes; the others shape its code."""

NESTED_CALLS = 20_000
"""Of Python's functions: enough for the deepest file that the limits allow."""

Static = "bool | int | float | str | list[int]"


def check(text: str, path: str = "<text>") -> list[Diagnostic]:
    """Everything that is wrong with a program given as text, in order of place; an empty list if nothing is.

    Imports are looked for below the folder of `path`, and in the standard library. Never raises for bad input.
    """
    problems = Problems()
    with guarded(path):
        program = sources.load_text(text, path, problems)
        _check(program, problems)
    return _public(problems)


def check_file(source: str | Path) -> list[Diagnostic]:
    """Everything that is wrong with a file, or a module of the standard library such as `"std.norm"`."""
    problems = Problems()
    with guarded(str(source)):
        program = sources.load_file(source, problems)
        _check(program, problems)
    return _public(problems)


def _check(program: Program | None, problems: Problems) -> None:
    if program is not None and not problems.errors:
        check_program(program, problems)


def _public(problems: Problems) -> list[Diagnostic]:
    return [Diagnostic.of(problem, problems.texts) for problem in problems.sorted()]


def open_program(source: str | Path) -> Program:
    """A program without errors, from a file or the library. Raises UserError or Limit with all that is wrong."""
    problems = Problems()
    with guarded(str(source)):
        program = sources.load_file(source, problems)
        _check(program, problems)
    sources.raise_errors(problems, program)
    assert program is not None
    return program


def open_text(text: str, path: str) -> Program:
    """As `open_program`, for a program given as text; its imports are looked for below the folder of `path`."""
    problems = Problems()
    with guarded(path):
        program = sources.load_text(text, path, problems)
        _check(program, problems)
    sources.raise_errors(problems, program)
    assert program is not None
    return program


def unit(program: Program, layer: str, static: Mapping[str, object] | None = None) -> Unit:
    """One layer with its static choices. Raises UserError for an unknown layer or choice, and for what is wrong with it then."""
    problems = Problems()
    with guarded(program.root.path):
        found = elaborate(program, layer, static or {}, problems)
    sources.raise_errors(problems, program)
    assert found is not None
    return found


def graph(
    source: str | Path, layer: str, *, method: str = "forward", mode: str = "train", static: Mapping[str, object] | None = None
) -> Graph:
    """A method of a layer as one graph, with its sub-layers inlined. `mode` is "train" or "eval"."""
    from archc.ir.lower import lower_graph

    found = unit(open_program(source), layer, static)
    with guarded(str(source)):
        return lower_graph(found, method, mode)


def package(program: Program, layers: Iterable[str], static: Mapping[str, object] | None = None) -> Package:
    """The modules of layers and of everything they are made of."""
    from archc.ir.lower import lower_package

    units = [unit(program, layer, static) for layer in layers]
    with guarded(program.root.path):
        return lower_package(units, program.root.path)


def load(source: str | Path, *, backend: Literal["auto", "torch", "cpp", "triton"] = "auto", **static: object) -> Namespace:
    """The layers of a file, or of a module of the library such as `"std.norm"`, as nn.Module classes:

        Gate = archc.load("gate.arch", squeeze=8).Gate
        layer = Gate(channels=64)

    The program is checked here; a layer is compiled when it is first asked for. `static` sets static choices, for those layers
    that have them. Classes pickle and deepcopy. Raises UserError or Limit with all that is wrong.

    `backend`: "cpp" computes in fused kernels what they can compute, "torch" in torch's operations. "auto" is the first where
    there is a C++ compiler, else the second, said once; the variable ARCHC_BACKEND chooses for it.
    """
    from archc.loaded import namespace

    chosen = automatic() if backend == "auto" else backend
    if chosen not in ("torch", "cpp", "triton"):
        raise ValueError(f"there is no backend {chosen!r}; this version has 'torch', 'cpp', 'triton', and 'auto', which chooses")
    return namespace(source, static, tuple(dict.fromkeys(("torch", chosen))))


def automatic() -> str:
    """The backend that this machine can run best: ARCHC_BACKEND, else "cpp" where there is a C++ compiler."""
    return os.environ.get("ARCHC_BACKEND") or _found()


@cache
def _found() -> str:
    from archc.runtime import native

    try:
        native.compiler()
    except native.BuildError as problem:
        warnings.warn(f"computing with torch's own operations, because {problem}", stacklevel=4)
        return "torch"
    return "cpp"


def load_text(text: str, path: str, **static: object) -> Namespace:
    """As `load`, for a program given as text; imports are looked for below the folder of `path`. Its classes do not pickle."""
    from archc.loaded import Namespace

    return Namespace(open_text(text, path), f"text{blake2b(text.encode(), digest_size=8).hexdigest()}", static)


def compile(
    source: str | Path,
    out: str | Path,
    *,
    targets: Sequence[str] = ("torch",),
    static: Mapping[str, object] | None = None,
    layers: Iterable[str] | None = None,
    pairs: bool = False,
) -> list[Path]:
    """Write a file's layers as a Python package to the folder `out`, whole or not at all, and give the files written.

    The package needs torch and nothing of archc. `layers` says which layers; by default all of the file. `static` sets static
    choices. `pairs`: complex numbers are written as pairs of floats, in params and inputs too, and transforms as products.
    A folder that is there is replaced if archc wrote it, or if it is empty. Raises UserError or Limit.
    """
    from archc import store

    files = files_of(source, targets=targets, static=static, layers=layers, pairs=pairs)
    return store.write(Path(out), files)


def files_of(
    source: str | Path,
    *,
    targets: Sequence[str] = ("torch",),
    static: Mapping[str, object] | None = None,
    layers: Iterable[str] | None = None,
    pairs: bool = False,
) -> dict[str, str]:
    """The files of the package that `compile` writes: name -> text."""
    program = open_program(source)
    return emitted(program, list(layers) if layers is not None else None, static or {}, targets, pairs)


def emitted(program: Program, layers: Sequence[str] | None, static: Mapping[str, object],
            targets: Sequence[str] = ("torch",), pairs: bool = False) -> dict[str, str]:
    """The package of some layers of a program that has no errors; None: of all of them that can be compiled by themselves.
    `pairs`: complex numbers as pairs of floats."""
    from archc.codegen.package import emit
    from archc.version import __version__

    found = _package_of(program, layers, static, targets, pairs)
    with guarded(program.root.path):
        digest, options = source_hash(program, static), {"pairs": True} if pairs else {}
        return emit(found, targets=targets, compiler_version=__version__, source_hash=digest, options=options)


def triton_kernels(source: str | Path, *, static: Mapping[str, object] | None = None,
                   layers: Iterable[str] | None = None) -> tuple[str, list[Kernel]]:
    """The Triton kernels of a file's layers: the text of their file, and the form of each."""
    from archc.codegen import package as packages
    from archc.codegen.triton.fused import TritonGroup
    from archc.codegen.triton.print import text

    program = open_program(source)
    found = _package_of(program, list(layers) if layers is not None else None, static or {}, ("torch", "triton"))
    with guarded(program.root.path):
        _, kernels, rare = packages.modules_text(found, packages.class_names(found), "", TritonGroup)
        return text([*kernels, *rare], f"kernels of {program.root.path}"), [*kernels, *rare]


def _package_of(program: Program, layers: Sequence[str] | None, static: Mapping[str, object], targets: Sequence[str],
                pairs: bool = False) -> Package:
    """What a package is printed from."""
    from archc.codegen.package import TARGETS
    from archc.diagnostics import codes
    from archc.diagnostics.model import Problem, UserError

    if unknown := [target for target in targets if target not in TARGETS]:
        raise UserError([Problem(codes.UNKNOWN_TARGET, None, {"name": unknown[0], "names": list(TARGETS)})])
    names = list(layers) if layers is not None else [d.name for d in program.layers if _complete(d.node, static)]
    if not names:
        raise UserError([Problem(codes.NO_LAYER, None, {"path": program.root.path})])
    check_static(program, names, static)
    units = [unit(program, name, own_static(program, name, static)) for name in names]
    with guarded(program.root.path):
        from archc.ir.lower import lower_package
        from archc.passes.joined import members
        from archc.passes.step_modules import with_steps

        in_kernels = bool({"cpp", "triton"} & set(targets))
        found = simplified(with_steps(lower_package(units, program.root.path, members if in_kernels and not pairs else None)))
        if pairs:
            from archc.passes.pairs import paired

            found = simplified(paired(found))
        return grouped(found) if in_kernels else found


def _complete(layer: object, static: Mapping[str, object]) -> bool:
    """Whether a layer can be compiled by itself: each of its static choices has a default, or is set."""
    assert isinstance(layer, Layer)
    shaping = (parameter for parameter in layer.parameters if parameter.static or parameter.kind.name not in RUN_TIME)
    return all(parameter.default is not None or parameter.name.name in static for parameter in shaping)


def own_static(program: Program, layer: str, static: Mapping[str, object]) -> dict[str, object]:
    """Those static choices that a layer has."""
    declared = next((d for d in program.layers if d.name == layer), None)
    if declared is None:
        return dict(static)
    return {name: value for name, value in static.items() if name in static_names(declared.node)}


def static_names(layer: object) -> set[str]:
    """The parameters of a layer that are fixed when compiling."""
    assert isinstance(layer, tree.Layer)
    return {p.name.name for p in layer.parameters if p.static or p.kind.name not in RUN_TIME}


def check_static(program: Program, layers: Sequence[str], static: Mapping[str, object]) -> None:
    """Every static choice belongs to some layer."""
    from archc.diagnostics import codes
    from archc.diagnostics.model import Problem, UserError

    declared = [d for d in program.layers if d.name in layers]
    if len(declared) < len(layers):
        return  # an unknown layer is reported where it is elaborated
    known = sorted({name for d in declared for name in static_names(d.node)})
    if unknown := [name for name in static if name not in known]:
        layer = layers[0] if len(layers) == 1 else program.root.path
        raise UserError([Problem(codes.UNKNOWN_STATIC, None, {"layer": layer, "name": unknown[0], "names": known})])


def simplified(package: Package) -> Package:
    """The package with the passes of inference run on every graph."""
    from archc.pipelines import INFERENCE
    from archc.watch import run

    done: dict[int, Graph] = {}

    def graph_of(graph: Graph) -> Graph:
        if id(graph) not in done:
            done[id(graph)] = run(graph, INFERENCE)
        return done[id(graph)]

    def joined(found: Joined | None) -> Joined | None:
        return replace(found, train=graph_of(found.train), eval=graph_of(found.eval)) if found else None

    modules = {}
    for key, module in package.modules.items():
        stored = tuple(replace(s, value=graph_of(s.value)) if s.value is not None else s for s in module.stored)
        methods = tuple(replace(m, train=graph_of(m.train), eval=graph_of(m.eval), joined=joined(m.joined),
                                step=replace(m.step, start=graph_of(m.step.start)) if m.step else None) for m in module.methods)
        children = tuple(
            replace(c, arguments=tuple({name: graph_of(g) for name, g in arguments.items()} for arguments in c.arguments))
            for c in module.children
        )
        modules[key] = replace(module, stored=stored, methods=methods, children=children)
    return replace(package, modules=modules)


def grouped(package: Package) -> Package:
    """The package with what its methods do joined in groups, a kernel for each."""
    from archc.passes.group import GROUP
    from archc.watch import run

    done: dict[int, Graph] = {}

    def graph_of(graph: Graph) -> Graph:
        if id(graph) not in done:
            done[id(graph)] = run(graph, (GROUP,))
        return done[id(graph)]

    def methods(module: Module) -> tuple[Method, ...]:
        return tuple(replace(m, train=graph_of(m.train), eval=graph_of(m.eval), joined=m.joined and replace(
            m.joined, train=graph_of(m.joined.train), eval=graph_of(m.joined.eval))) for m in module.methods)

    return replace(package, modules={key: replace(module, methods=methods(module)) for key, module in package.modules.items()})


def source_hash(program: Program, static: Mapping[str, object]) -> str:
    """A digest of everything that a package is made from: the text of all files, and the static choices."""
    digest = blake2b(digest_size=16)
    for path, text in sorted(program.sources.items()):
        name = path.replace("\\", "/").rsplit("/", 1)[-1]
        digest.update(f"{name}\0{len(text)}\0{text}\0".encode())
    for name, value in sorted(static.items()):
        digest.update(f"{name}={value!r}\0".encode())
    return digest.hexdigest()


@contextmanager
def guarded(source: str) -> Iterator[None]:
    """Whatever goes wrong inside the compiler is a CompilerBug that says how to report it.

    Python's bound on nested calls is set by what the limits of `archc.limits` let a file nest, not by how deep the caller is.
    """
    from archc.diagnostics.model import ArchError

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, NESTED_CALLS))
    try:
        yield
    except (ArchError, CompilerBug, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise CompilerBug(f"{type(error).__name__}: {error} (while compiling {source})") from error
    finally:
        sys.setrecursionlimit(before)
