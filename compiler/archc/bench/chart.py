"""The chart of a run: for each row how many times as long others take as ours, on a logarithmic scale; one panel a part.

Hand-written SVG. Its colours hold on light and dark pages, which it asks for itself; shape says the same as colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from archc.bench.case import LIMIT
from archc.bench.table import PARTS

SHOWN = (("inductor", "torch.compile"), ("eager", "eager PyTorch"), (LIMIT, "limit: a copy, or the products alone"))
LABELS, PANEL, GAP, LINE, TOP, FOOT = 216, 320, 44, 18, 58, 30
TITLES = {"forward": "inference", "step": "training step"}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a }
  .grid { stroke: #d0d7de } .one { stroke: #24292f; stroke-width: 1.5 } .span { stroke: #8c959f; stroke-width: 1.5 }
  .inductor { fill: #cf222e } .eager { fill: #0969da } .limit { fill: none; stroke: #1a7f37; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #e6edf3 } .span { stroke: #656c76 }
    .inductor { fill: #ff7b72 } .eager { fill: #58a6ff } .limit { stroke: #3fb950 }
  }
"""


def drawn(found: Mapping[str, Any]) -> str:
    """The whole SVG, with a title and a sentence for those who do not see it."""
    rows = [row for row in found["rows"] if any(part in row for part in PARTS)]
    values = [_times(row, part, name) for row in rows for part in PARTS for name, _ in SHOWN]
    known = [value for value in values if value]
    low, high = min([*known, 0.5]) / 1.3, max([*known, 2.0]) * 1.3
    height = TOP + LINE * len(rows) + FOOT
    width = LABELS + 2 * PANEL + GAP + 16
    means = "; ".join(f"{TITLES[part]} {mean['mean']:.1f} times as fast as torch.compile in geometric mean"
                      for part in PARTS if (mean := found["means"][part].get("inductor")))
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
             f'aria-labelledby="title about">',
             '<title id="title">How many times as long others take as archc</title>',
             f'<desc id="about">{escape(means or "no row was measured")}</desc>', f"<style>{STYLE}</style>"]
    x = 8.0
    for name, words in SHOWN:
        parts += [_mark(name, x + 5, 14), f'<text x="{x + 16:g}" y="18">{escape(words)}</text>']
        x += 34 + 6.6 * len(words)
    for number, row in enumerate(rows):
        label = f"{row['name']} {row['size'] if row['size'] != 'medium' else ''}".strip()
        y = TOP + LINE * number + LINE / 2
        parts.append(f'<text x="{LABELS - 8}" y="{y + 4:g}" text-anchor="end">{escape(label)}</text>')
    for number, part in enumerate(PARTS):
        parts += _panel(rows, part, LABELS + number * (PANEL + GAP), low, high)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _times(row: Mapping[str, Any], part: str, name: str) -> float | None:
    found = row.get(part, {}).get("times", {}).get(name)
    return None if found is None else float(found[1])


def _panel(rows: Sequence[Mapping[str, Any]], part: str, left: float, low: float, high: float) -> list[str]:
    bottom = TOP + LINE * len(rows)

    def place(value: float) -> float:
        return left + PANEL * math.log(value / low) / math.log(high / low)

    found = [f'<text x="{left}" y="38">{TITLES[part]}: times as long as archc</text>']
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        tick, one = 10.0**power, power == 0
        found += [f'<line class="{"one" if one else "grid"}" x1="{place(tick):.1f}" x2="{place(tick):.1f}" y1="{TOP - 6}" '
                  f'y2="{bottom}"/>',
                  f'<text class="small" x="{place(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}x</text>']
    for number, row in enumerate(rows):
        y = TOP + LINE * number + LINE / 2
        places = {name: place(value) for name, _ in SHOWN if (value := _times(row, part, name))}
        if places:
            found.append(f'<line class="span" x1="{min(places.values()):.1f}" x2="{max(places.values()):.1f}" y1="{y:g}" '
                         f'y2="{y:g}"/>')
        found += [_mark(name, x, y) for name, x in places.items()]
    return found


def _mark(name: str, x: float, y: float) -> str:
    if name == "inductor":
        return f'<rect class="{name}" x="{x - 4:.1f}" y="{y - 4:g}" width="8" height="8"/>'
    if name == "eager":
        return f'<circle class="{name}" cx="{x:.1f}" cy="{y:g}" r="4.5"/>'
    return f'<path class="{name}" d="M{x:.1f} {y - 6:g}v12"/>'
