"""Files, their imports and the declarations they bring into scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archc.checker.typed import Unit
from archc.diagnostics import codes
from archc.diagnostics.model import Kind, Problems
from archc.syntax import tree
from archc.syntax.parse import parse

if TYPE_CHECKING:
    from archc.checker.frame import Frame
    from archc.checker.values import Value

Record = Callable[[tree.Expr, "Value", "Frame"], None]
"""Is told the value of every expression, in the frame whose names it sees, as often as it is elaborated."""

Resolve = Callable[[str, str], "tuple[str, str] | Kind | None"]
"""(dotted name, path of the importing file) -> (path, text) of the imported file; what is wrong; None where that was said."""


@dataclass(frozen=True, eq=False)
class Declared:
    """A declaration and the file whose names it sees."""

    node: tree.Fn | tree.Layer | tree.Search
    file: SourceFile

    @property
    def name(self) -> str:
        return self.node.name.name

    @property
    def key(self) -> str:
        return f"{self.file.module}.{self.name}"


@dataclass(eq=False)
class SourceFile:
    """One file. `scope` has its own declarations and the imported ones."""

    path: str
    module: str  # the dotted name it was imported by; "" for the root
    text: str
    tree: tree.File
    own: dict[str, Declared] = field(default_factory=dict)
    scope: dict[str, Declared] = field(default_factory=dict)


@dataclass(eq=False)
class Program:
    root: SourceFile
    files: dict[str, SourceFile]
    record: Record | None = None  # who wants to know what every expression is: an editor

    @property
    def sources(self) -> Mapping[str, str]:
        return {file.path: file.text for file in self.files.values()}

    @property
    def layers(self) -> list[Declared]:
        """The layers of the root file, in its order."""
        return [d for d in self.root.own.values() if isinstance(d.node, tree.Layer)]

    @staticmethod
    def load(
        text: str, path: str, resolve: Resolve, problems: Problems, known: Mapping[str, SourceFile] | None = None
    ) -> Program | None:
        """Parse a file and what it imports. None where the root itself does not parse. `known` files are not parsed again."""
        files: dict[str, SourceFile] = dict(known or {})
        root = _load(text, path, "", resolve, problems, files, ())
        return Program(root, files) if root else None


def _load(
    text: str, path: str, module: str, resolve: Resolve, problems: Problems, files: dict[str, SourceFile], above: tuple[str, ...]
) -> SourceFile | None:
    parsed = parse(text, path, problems)
    if parsed is None:
        return None
    file = SourceFile(path, module, text, parsed)
    files[path] = file
    for node in parsed.declarations:
        if not isinstance(node, tree.Import):
            name = node.name.name
            if name in file.own:
                problems.add(
                    codes.DECLARED_TWICE, node.name.span, name=name, also=[(file.own[name].node.name.span, "first declared here")]
                )
            else:
                file.own[name] = Declared(node, file)
    file.scope.update(file.own)
    for node in parsed.declarations:
        if isinstance(node, tree.Import):
            _import(node, file, resolve, problems, files, (*above, path))
    return file


def _import(
    node: tree.Import,
    file: SourceFile,
    resolve: Resolve,
    problems: Problems,
    files: dict[str, SourceFile],
    above: tuple[str, ...],
) -> None:
    found = resolve(node.dotted, file.path)
    if isinstance(found, Kind):
        places = "below this file's folder, and in the standard library"
        problems.add(found, node.span, name=node.dotted, others=[], places=places)
        return
    if found is None:
        return
    path, text = found
    if path in above:
        problems.add(codes.IMPORT_CYCLE, node.span, name=node.dotted, path=" imports ".join([*above[above.index(path) :], path]))
        return
    imported = files.get(path) or _load(text, path, node.dotted, resolve, problems, files, above)
    if imported is None:
        return
    for name, declared in imported.own.items():
        other = file.scope.get(name)
        if other is not None and other is not declared:
            problems.add(
                codes.IMPORT_CLASH,
                node.span,
                name=name,
                module=node.dotted,
                also=[(other.node.name.span, "the other one is declared here")],
            )
        else:
            file.scope[name] = declared


def check_program(program: Program, problems: Problems) -> None:
    """Check every declaration of the root file by itself, with its default static choices."""
    from archc.checker import standalone

    standalone.check(program, problems)


def elaborate(program: Program, layer: str, statics: Mapping[str, object], problems: Problems) -> Unit | None:
    """A layer of the root file (or one it imports) with static choices by name: text, numbers, or the names of layers."""
    from archc.checker import standalone

    return standalone.elaborate(program, layer, statics, problems)
