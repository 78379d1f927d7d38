"""A picture as SVG. Fonts are monospaced, so that every text's width is known; equal pictures give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from archc.analyze.draw.formula import wrapped
from archc.analyze.draw.layout import Block, place
from archc.analyze.draw.picture import Box, Picture, Side

SIZE, CHAR, LINE_HEIGHT = 12, 7.25, 16.0
SMALL, SMALL_CHAR = 11, 7.0  # some renderers give whole pixels to a letter
PAD, SIDE_GAP = 10.0, 16.0
COLOURS = {  # fill and border
    "input": ("#dbeafe", "#2563eb"), "result": ("#dbeafe", "#2563eb"), "operation": ("#ffffff", "#64748b"),
    "reduction": ("#dcfce7", "#15803d"), "layer": ("#ede9fe", "#7c3aed"), "param": ("#fef3c7", "#d97706"),
    "buffer": ("#ffe4e6", "#e11d48"), "number": ("#f1f5f9", "#94a3b8"), "random": ("#fce7f3", "#db2777"),
    "update": ("#ffe4e6", "#e11d48"),
}
LEGEND = (("input", "input, result"), ("operation", "operation"), ("reduction", "over axes"), ("layer", "sub-layer"),
          ("param", "param"), ("buffer", "buffer"), ("number", "number"), ("random", "random"))


@dataclass
class Canvas:
    """Shapes in three layers: frames below, then lines, then boxes with their texts."""

    frames: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    texts: list[tuple[float, float, float, float]] = field(default_factory=list)  # where texts stand, for tests

    def text(self, x: float, y: float, text: str, *, size: int = SIZE, char: float = CHAR, colour: str = "#0f172a",
             bold: bool = False, middle: bool = False) -> None:
        """One line of text whose baseline is y; x is its left end, or its middle."""
        if not text:
            return
        length = len(text) * char
        left = x - length / 2 if middle else x
        self.texts.append((left, y - size, length, size + 2.0))
        weight = ' font-weight="bold"' if bold else ""
        self.boxes.append(f'<text x="{left:.1f}" y="{y:.1f}" font-size="{size}"{weight} fill="{colour}" xml:space="preserve">'
                          f"{escape(text, quote=False)}</text>")

    def box(self, x: float, y: float, width: float, height: float, kind: str, *, round_: float = 5, into: list[str] | None = None,
            dashed: bool = False, fill: str | None = None) -> None:
        colour, border = COLOURS[kind]
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        (self.boxes if into is None else into).append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round_:g}" fill="{fill or colour}" '
            f'stroke="{border}"{dash}/>')


def svg(picture: Picture) -> str:
    """The whole drawing: title, graph, legend."""
    drawn, texts = draw(picture)
    del texts
    return drawn


def draw(picture: Picture) -> tuple[str, list[tuple[float, float, float, float]]]:
    """The drawing, and where its texts stand: left, top, width and height of each."""
    canvas = Canvas()
    body = _Sheet(picture)
    kinds = _kinds(picture)
    legend = [(kind, word) for kind, word in LEGEND if kind in kinds]
    legend_width = sum(len(word) * SMALL_CHAR + 40 for _, word in legend)
    head = [*wrapped(_first_sentence(picture.doc), 96)] if picture.doc else []
    foot = [f"{name} = {text}" for name, text in _where(picture).items()]
    head_width = max([len(picture.title) * 11.0, *(len(line) * SMALL_CHAR for line in (*head, *foot))])
    width = max(body.width, head_width, legend_width) + 2 * 24
    top = 24 + 22 + 15 * len(head) + 14
    height = top + body.height + 24 + 22 + 14 + 15 * len(foot)
    canvas.text(24, 24 + 14, picture.title, size=18, char=11.0, bold=True)
    for i, line in enumerate(head):
        canvas.text(24, 24 + 22 + 13 + 15 * i, line.strip(), size=SMALL, char=SMALL_CHAR, colour="#475569")
    body.draw(canvas, (width - body.width) / 2, top)
    for i, line in enumerate(foot):
        canvas.text(24, top + body.height + 26 + 15 * i, line, size=SMALL, char=SMALL_CHAR, colour="#475569")
    x, y = 24.0, height - 24
    for kind, word in legend:
        canvas.box(x, y - 10, 14, 12, kind, round_=3)
        canvas.text(x + 20, y, word, size=SMALL, char=SMALL_CHAR, colour="#475569")
        x += len(word) * SMALL_CHAR + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">',
        f"<title>{escape(picture.title)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 L8 4 L0 7.5 z" fill="#475569"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *canvas.frames, *canvas.lines, *canvas.boxes, "</svg>",
    ]
    return "\n".join(lines) + "\n", canvas.texts


def _kinds(picture: Picture) -> set[str]:
    found = {box.kind for box in picture.boxes} | {side.role for box in picture.boxes for side in box.sides}
    for box in picture.boxes:
        if box.inner is not None:
            found |= _kinds(box.inner)
    return found | ({"buffer"} if "update" in found else set())


def _where(picture: Picture) -> dict[str, str]:
    """Sizes that are said below the picture; a name that an opened sub-layer uses otherwise is the outer one's."""
    found = dict(picture.where)
    for box in picture.boxes:
        if box.inner is not None:
            found = {**_where(box.inner), **found}
    return found


def _first_sentence(doc: str) -> str:
    end = next((i for i in range(len(doc)) if doc[i] == "." and doc[i + 1 : i + 2] in ("", " ") and doc.count("(", 0, i)
                == doc.count(")", 0, i)), len(doc))
    return doc[:end].strip()


class _Sheet:
    """A picture with places: the size of all, and drawing it at a corner."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.parts = [_Part(box) for box in picture.boxes]
        last = frozenset(i for i, box in enumerate(picture.boxes) if box.kind in ("result", "update"))
        first = frozenset(i for i, box in enumerate(picture.boxes) if box.kind == "input")
        self.placed = place([Block(p.width, p.height, p.port) for p in self.parts], picture.lines, first, last)
        self.width: float = self.placed.width
        self.height: float = self.placed.height

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        ends: dict[tuple[int, int], tuple[float, float]] = {}
        for i, part in enumerate(self.parts):  # where several lines meet a box, they stand side by side
            for side, near in ((0, [line for line in self.picture.lines if line[1] == i]),
                               (1, [line for line in self.picture.lines if line[0] == i])):
                def toward(line: tuple[int, int], side: int = side) -> float:
                    bends = self.placed.bends[line]
                    if bends:
                        return bends[-1 if side == 0 else 0][0]
                    other = line[0] if side == 0 else line[1]
                    return self.placed.at[other][0] + self.parts[other].port

                near.sort(key=lambda line: (round(toward(line), 1), line))
                doors = part.doors()
                if side == 0 and len(doors) > 1:  # an opened sub-layer: to the input that the line is for
                    for line in near:
                        ends[line] = (ends.get(line, (0.0, 0.0))[0], doors[self.picture.entry[line]])
                    continue
                spread = min(18.0, (part.box_width - 20) / max(len(near) - 1, 1)) if side == 0 else 0.0
                for k, line in enumerate(near):
                    shift = (k - (len(near) - 1) / 2) * spread
                    old = ends.get(line, (0.0, 0.0))
                    ends[line] = (old[0], shift) if side == 0 else (shift, old[1])
        for line in self.picture.lines:
            self.line(canvas, line, left, top, ends[line])
        for part, (x, y) in zip(self.parts, self.placed.at, strict=True):
            part.draw(canvas, left + x, top + y)

    def line(self, canvas: Canvas, line: tuple[int, int], left: float, top: float, shifts: tuple[float, float]) -> None:
        a, b = line
        (ax, ay), (bx, by) = self.placed.at[a], self.placed.at[b]
        start = (left + ax + self.parts[a].port + shifts[0], top + ay + self.parts[a].leave)
        end = (left + bx + self.parts[b].port + shifts[1], top + by + self.parts[b].above)
        path = f"M{start[0]:.1f} {start[1]:.1f}"
        x, y = start
        for bend, upper, lower in self.placed.bends[line]:
            path += _curve(x, y, left + bend, top + upper) + f" L{left + bend:.1f} {top + lower:.1f}"
            x, y = left + bend, top + lower
        path += _curve(x, y, end[0], end[1])
        canvas.lines.append(f'<path d="{path}" fill="none" stroke="#475569" stroke-width="1.3" marker-end="url(#arrow)"/>')


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (y + to_y) / 2
    if abs(x - to_x) < 0.05:
        return f" L{to_x:.1f} {to_y:.1f}"
    return f" C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"


class _Part:
    """One box with its params at the left and the axes that it gives below it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.sheet = _Sheet(box.inner) if box.inner is not None else None
        named = [] if not box.name else [box.name]
        texts = [len(line) * CHAR for line in (*named, *box.lines)]
        self.box_width: float = max([*texts, 40.0]) + 2 * PAD
        self.box_height: float = LINE_HEIGHT * (len(named) + len(box.lines)) + 10
        if self.sheet is not None:
            self.head = f"{' '.join(line.strip() for line in box.lines)}"
            self.box_width = max(len(f"{box.name}: {self.head}") * CHAR + 2 * PAD, self.sheet.width + 2 * 16)
            self.box_height = 28 + self.sheet.height + 16
        self.pills = box.sides
        self.pill_width = max((_pill_width(side) for side in self.pills), default=0.0)
        self.before = self.pill_width + SIDE_GAP if self.pills else 0.0
        pill_height = 22.0 * len(self.pills)
        label = LINE_HEIGHT if box.gives and box.kind != "input" else 0.0
        self.inside = max(self.box_height, pill_height)
        self.above = (self.inside - self.box_height) / 2  # of the box in its block
        self.leave = self.above + self.box_height + label
        self.height: float = max(self.inside, self.leave)
        self.label_width = len(box.gives) * SMALL_CHAR if box.kind != "input" else 0.0
        if box.kind == "input":
            self.box_width = (len(box.name) * CHAR + len(box.gives) * SMALL_CHAR + 8) + 2 * PAD
        half = max(self.box_width, self.label_width) / 2
        self.port: float = self.before + half
        self.width: float = self.port + half

    def draw(self, canvas: Canvas, x: float, y: float) -> None:
        box, middle = self.box, x + self.port
        left = middle - self.box_width / 2
        top = y + self.above
        for i, side in enumerate(self.pills):
            self.pill(canvas, side, x, y + (self.inside - 22.0 * len(self.pills)) / 2 + 22.0 * i + 1,
                      left, top)
        if self.sheet is not None:
            canvas.box(left, top, self.box_width, self.box_height, "layer", into=canvas.frames, fill="#faf8ff")
            canvas.text(left + PAD, top + 17, box.name, bold=True, colour="#5b21b6")
            canvas.text(left + PAD + len(f"{box.name}: ") * CHAR, top + 17, self.head, colour="#5b21b6")
            self.sheet.draw(canvas, left + (self.box_width - self.sheet.width) / 2, top + 28)
        elif box.kind == "input":
            canvas.box(left, top, self.box_width, self.box_height, box.kind, round_=12)
            canvas.text(left + PAD, top + 17, box.name, bold=True)
            canvas.text(left + PAD + len(box.name) * CHAR + 8, top + 17, box.gives, size=SMALL, char=SMALL_CHAR, colour="#1d4ed8")
        else:
            canvas.box(left, top, self.box_width, self.box_height, box.kind, round_=12 if box.kind in ("result", "update") else 5)
            line = top + 17
            if box.name:
                canvas.text(middle, line, box.name, bold=True, middle=True)
                line += LINE_HEIGHT
            widest = max((len(text) for text in box.lines), default=0) * CHAR
            for text in box.lines:
                canvas.text(middle - widest / 2, line, text)
                line += LINE_HEIGHT
        if box.gives and box.kind != "input":
            canvas.text(middle, top + self.box_height + 12, box.gives, size=SMALL, char=SMALL_CHAR, colour="#64748b", middle=True)

    def doors(self) -> list[float]:
        """Where the inputs of an opened sub-layer stand, from where lines enter."""
        if self.sheet is None:
            return []
        left = -self.sheet.width / 2
        return [left + x + part.port for part, (x, _) in zip(self.sheet.parts, self.sheet.placed.at, strict=True)
                if part.box.kind == "input"]

    def pill(self, canvas: Canvas, side: Side, x: float, y: float, edge: float, top: float) -> None:
        """A param: its name and axes, with a short line to the box."""
        canvas.box(x, y, self.pill_width, 20, side.role, round_=10)
        canvas.text(x + 9, y + 14, side.name, size=SMALL, char=SMALL_CHAR)
        canvas.text(x + 9 + (len(side.name) + 1) * SMALL_CHAR, y + 14, side.axes, size=SMALL, char=SMALL_CHAR, colour="#92400e")
        end = min(max(y + 10, top + 6), top + self.box_height - 6)
        canvas.lines.append(f'<path d="M{x + self.pill_width:.1f} {y + 10:.1f} L{edge:.1f} {end:.1f}" fill="none" '
                            f'stroke="{COLOURS[side.role][1]}" stroke-width="1.2"/>')


def _pill_width(side: Side) -> float:
    return (len(side.name) + (len(side.axes) + 1 if side.axes else 0)) * SMALL_CHAR + 18
