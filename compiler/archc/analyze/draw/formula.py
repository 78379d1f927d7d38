"""What stands in a box: the operations of its nodes as an expression of the language, other boxes by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.ir.graph import Call, Fourier, Node, Random, Read
from archc.ir.source_body import dropout_of
from archc.ops.table import OPS

SYMBOLS = {"add": ("+", 5), "sub": ("-", 5), "mul": ("*", 6), "div": ("/", 6), "floordiv": ("//", 6), "mod": ("%", 6),
           "eq": ("==", 4), "ne": ("!=", 4), "lt": ("<", 4), "le": ("<=", 4), "gt": (">", 4), "ge": (">=", 4),
           "and": ("and", 2), "or": ("or", 1), "pow": ("^", 8), "ipow": ("^", 8)}
ATOM = 9
DEEPEST = 16  # operations one in another; what is longer has boxes of its own
Text = tuple[str, int]  # an expression and how tightly its outermost operator binds


class Formulas:
    """Texts of nodes. `named` are the nodes that have boxes, and the names of those."""

    def __init__(self, named: dict[Node, str], order: Callable[[Iterable[Axis]], list[str]], axes: frozenset[str]) -> None:
        self.named, self.order, self.axes = named, order, axes
        self.depth = 0

    def of(self, node: Node) -> str:
        """The formula of one box: its own operation, and below it whatever has no box."""
        return self.operation(node)[0]

    def text(self, node: Node) -> Text:
        if node in self.named:
            return self.named[node], ATOM
        if self.depth > DEEPEST:
            return "..." * DEEPEST, ATOM
        self.depth += 1
        found = self.operation(node)
        self.depth -= 1
        return found

    def at(self, node: Node, least: int) -> str:
        text, binds = self.text(node)
        return text if binds >= least else f"({text})"

    def size(self, size: Size) -> str:
        return size.spell(lambda name: f"|{name}|" if name in self.axes else name)

    def operation(self, node: Node) -> Text:
        op, args, attrs = node.op, node.args, node.attrs
        if op == "const":
            return constant(attrs)
        if (dropped := dropout_of(node)) is not None:
            return f"dropout({', '.join(self.at(arg, 0) for arg in dropped)})", ATOM
        if isinstance(attrs, Size):
            text = self.size(attrs)
            return text, ATOM if len(attrs.terms) == 1 and text.replace("|", "").isidentifier() else 5
        if isinstance(attrs, Axis):
            return ("index of ..." if attrs.name == LEADING else attrs.name), ATOM
        if op == "input":
            return str(attrs), ATOM
        if isinstance(attrs, Read):
            return self.read(node, attrs), ATOM
        if isinstance(attrs, Random):
            inside = ", ".join(self.at(arg, 0) for arg in args)
            return f"{attrs.kind}({inside})", ATOM
        if isinstance(attrs, Call):
            return f"{attrs.body.name}({', '.join(self.at(arg, 0) for arg in args)})", ATOM
        if op in ("to_float", "expand", "item"):
            return self.text(args[0])
        return self.applied(node)

    def applied(self, node: Node) -> Text:
        op, args = node.op, node.args
        if (same := _unchanged(node)) is not None:
            return self.text(same)
        if op in SYMBOLS:
            symbol, binds = SYMBOLS[op]
            left, right = (ATOM, ATOM) if binds == 8 else (5, 5) if binds == 4 else (binds, binds + 1)
            second = self.at(args[1], right)
            if op == "add" and second.startswith("-"):
                symbol, second = "-", second[1:]
            return f"{self.at(args[0], left)} {symbol} {second}", binds
        if op == "neg":
            return f"-{self.at(args[0], 8)}", 7
        if op == "not":
            return f"not {self.at(args[0], 4)}", 3
        row = OPS.get(op)
        inside = ", ".join(self.at(arg, 0) for arg in args)
        name = (row.language or op) if row else op
        if isinstance(node.attrs, Fourier):
            ends = (node.attrs.half or ())[:: 1 if op == "rfft" else -1]
            items = [*self.order(node.attrs.over), *([" = ".join(axis.name for axis in ends)] if ends else [])]
            return f"{name}[{', '.join(items)}]({inside})", ATOM
        if row is not None and row.form != "elementwise" and isinstance(node.attrs, frozenset):
            return f"{name}[{', '.join(self.order(node.attrs))}]({inside})", ATOM
        return f"{name}({inside})", ATOM

    def read(self, node: Node, attrs: Read) -> str:
        items = []
        for at, index in zip(attrs.at, node.args[1:], strict=False):
            border = {"check": "", "trust": "", "fill": f" else {self.at(node.args[-1], 0)}"}.get(at.border, f" {at.border}")
            items.append(f"{at.axis.name} = {self.at(index, 0)}{border}")
        return f"{self.at(node.args[0], ATOM)}[{', '.join(items)}]"


def _unchanged(node: Node) -> Node | None:
    """x of 1 * x, x + 0 and the like, which an unrolled loop leaves: numerically a picture is not fussy."""
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1}.get(node.op)
    if neutral is None:
        return None
    first, second = node.args
    if second.op == "const" and second.attrs == neutral:
        return first
    return second if first.op == "const" and first.attrs == neutral and node.op in ("add", "mul") else None


def constant(value: object) -> Text:
    """A number as people write it: six digits are enough in a picture."""
    if isinstance(value, bool):
        return ("true" if value else "false"), ATOM
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text, 7 if text.startswith("-") else ATOM


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most this width, cut at spaces; a longer word stays whole."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("  " + word)
        else:
            lines[-1] += f"{' ' * bool(lines[-1])}{word}"
    return lines
