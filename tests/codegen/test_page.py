"""docs/compiled.md shows what layers of the library compile to; it is written by `python -m pytest --bless`."""

from __future__ import annotations

from pathlib import Path

from archc import api
from archc.syntax.tree import Fn, Layer
from tests.conftest import Golden

PAGE = Path(__file__).parents[2] / "docs" / "compiled.md"

SHOWN = [
    ("std.linear", "Linear", {}, "A sum of products is a matrix product, with its bias."),
    (
        "std.kan",
        "KAN",
        {},
        "The sum is taken apart: two products, over `i` and over `i` and `k`. Nothing of all `o` and `k` is held.",
    ),
    ("std.norm", "LayerNorm", {}, "A standardisation over the last axis is the library's kernel."),
    (
        "std.norm",
        "EvoNormS0",
        {},
        "The split of the channels is a view. What is small is multiplied first: `gamma` and the root.",
    ),
    ("std.norm", "BatchNorm2d", {}, "Two graphs of one text; buffers are stored when the rest is done."),
    ("std.conv", "Conv2d", {}, "A sum over shifted indices is a convolution; what lies outside is the call's own padding."),
    ("std.conv", "Conv2d", {"border": "wrap"}, "The same with another border."),
    (
        "std.attention",
        "SelfAttention",
        {"causal": True},
        "A causal mask leaves every query a key, so that the plain softmax is right.",
    ),
    ("std.vision", "PatchEmbed", {}, "Patches are views, and one product."),
    ("std.vision", "TransformerBlock", {}, "A layer made of layers calls its parts."),
    ("std.recurrent", "GRU", {}, "A scan is a loop; the step is its body, from a state that is given."),
]

HEAD = """# What it compiles to

Layers of the standard library beside the methods that `archc compile` writes for them. Each class also has a constructor
with typed arguments, `reset_parameters`, and checks of shapes at the entry of its methods, which are left out here.
This page is written by `python -m pytest tests/codegen/test_page.py --bless`.
"""


def section(source: str, layer: str, static: dict[str, object], sentence: str) -> str:
    program = api.open_program(source)
    declared = next(d for d in program.layers if d.name == layer)
    node = declared.node
    assert isinstance(node, Layer)
    span = node.span
    text = "\n".join(program.root.text.split("\n")[span.line - 1 : span.end_line])
    used = [d for d in program.root.own.values() if isinstance(d.node, Fn) and f"{d.name}(" in text]
    fns = ["\n".join(program.root.text.split("\n")[d.node.span.line - 1 : d.node.span.end_line]) + "\n" for d in used]
    code = api.emitted(program, [layer], static)["modules.py"]
    code = code[code.index(f"class {layer}(") :]
    methods = ["    def " + part for part in code.split("\n    def ")[1:] if part.startswith(("forward(", "step("))]
    shown = "\n".join(without_checks(method).rstrip() + "\n" for method in methods).rstrip()
    choices = ", ".join(f"{name} = {value}" for name, value in static.items())
    title = f"## {source}: {layer}" + f" ({choices})" * bool(choices)
    return "\n".join(
        [title, "", sentence, "", "```arch", *fns, text, "```", "```python", shown, "```", ""]
    )


def without_checks(code: str) -> str:
    """The method without its `if ...: raise ...` lines, moved to the left."""
    kept: list[str] = []
    lines = code.split("\n")
    at = 0
    while at < len(lines):
        indent = len(lines[at]) - len(lines[at].lstrip())
        if lines[at].lstrip().startswith("if ") and at + 1 < len(lines) and lines[at + 1].lstrip().startswith("raise "):
            at += 1
            while at < len(lines) and (not lines[at].strip() or len(lines[at]) - len(lines[at].lstrip()) > indent):
                at += 1
            continue
        kept.append(lines[at][4:])
        at += 1
    return "\n".join(kept)


def test_the_page_is_what_the_compiler_writes(golden: Golden) -> None:
    golden(PAGE, "\n".join([HEAD, *(section(*each) for each in SHOWN)]))
