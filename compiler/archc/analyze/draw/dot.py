"""A picture in the DOT language, for other layout programs."""

from __future__ import annotations

from collections.abc import Iterator

from archc.analyze.draw.picture import Picture
from archc.analyze.draw.svg import COLOURS


def dot(picture: Picture) -> str:
    """The picture as a DOT digraph; opened sub-layers are clusters, whose first and last boxes stand for them."""
    lines = [f"digraph {quoted(picture.title)} {{", '  node [shape=box, style="filled,rounded", fontname="monospace"];',
             '  edge [fontname="monospace"];', *_body(picture, "b", "  "), "}"]
    return "\n".join(lines) + "\n"


def _body(picture: Picture, prefix: str, indent: str) -> Iterator[str]:
    enter: dict[int, list[str]] = {}
    leave: dict[int, list[str]] = {}
    for i, box in enumerate(picture.boxes):
        name = f"{prefix}_{i}"
        enter[i] = leave[i] = [name]
        fill, border = COLOURS[box.kind]
        if box.inner is None:
            text = "\\n".join(escaped(line) for line in (box.name, *box.lines, box.gives if box.kind == "input" else "") if line)
            yield f'{indent}{name} [label="{text}", fillcolor="{fill}", color="{border}"];'
        else:
            yield f"{indent}subgraph cluster_{name} {{"
            head = " ".join(line.strip() for line in box.lines)
            yield f"{indent}  label={quoted(f'{box.name}: {head}')};"
            yield from _body(box.inner, name, f"{indent}  ")
            yield f"{indent}}}"
            kinds = [(f"{name}_{k}", inner.kind) for k, inner in enumerate(box.inner.boxes)]
            enter[i] = [inner for inner, kind in kinds if kind == "input"] or [kinds[0][0]]
            leave[i] = [inner for inner, kind in kinds if kind == "result"] or [kinds[-1][0]]
        for k, side in enumerate(box.sides):
            fill, border = COLOURS[side.role]
            text = escaped(f"{side.name} {side.axes}".strip())
            yield f'{indent}{name}_side{k} [label="{text}", fillcolor="{fill}", color="{border}"];'
            yield f'{indent}{name}_side{k} -> {enter[i][0]} [color="{border}"];'
    for a, b in picture.lines:
        gives = picture.boxes[a].gives
        label = f' [label="{escaped(gives)}"]' if gives else ""
        yield f"{indent}{leave[a][0]} -> {enter[b][0]}{label};"


def quoted(text: str) -> str:
    return f'"{escaped(text)}"'


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
