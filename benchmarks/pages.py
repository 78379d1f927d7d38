"""Puts what `archc bench --suite` measured into docs/performance.md and README.md, between markers, and draws their chart.

    archc bench --suite --quick --out benchmarks/results/suite.json
    python benchmarks/pages.py [FILE.json]

`make figures` does both.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archc.bench import chart
from archc.bench.case import LIMIT
from archc.bench.run import means as by_column
from archc.bench.table import FIRST, LAST, PARTS, columns, number

ROOT = Path(__file__).resolve().parents[1]
SLACK = 300_000
"""Bytes that a measurement of memory may be off by: pages that the process touches for the first time."""
RESULTS = ROOT / "benchmarks" / "results" / "suite.json"
CHART = ROOT / "docs" / "img" / "suite.svg"
TITLES = {"forward": "inference", "step": "training step"}


def between(text: str, marker: str, inside: str) -> str:
    """The text with what stands between <!-- marker --> and <!-- /marker --> replaced. Raises ValueError where they are not."""
    found, count = re.subn(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", lambda m: f"{m[1]}{inside.rstrip()}\n{m[2]}", text,
                           flags=re.S)
    if count != 1:
        raise ValueError(f"the markers of '{marker}' are there {count} times")
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def name_of(row: Mapping[str, Any]) -> str:
    return f"{row['name']}{'' if row['size'] == 'medium' else ', ' + row['size']}"


def shape_of(row: Mapping[str, Any]) -> str:
    return " x ".join(map(str, row.get("inputs", [[]])[0]))


def times(row: Mapping[str, Any], part: str, name: str) -> str:
    found = row.get(part, {}).get("times", {}).get(name)
    return "-" if found is None else f"{found[1]:.2f}"


def figures(found: Mapping[str, Any], part: str) -> str:
    """A row a layer: our milliseconds with their quartiles, and how many times as long others take."""
    rows = [row for row in found["rows"] if part in row]
    others = [name for name in columns(rows) if name in ("eager", "inductor", "archc torch")]
    head = ["layer", "input", "ms", "quartiles", *(f"{name}, times" for name in others), "of the limit"]
    lines = []
    for row in rows:
        low, middle, high = row[part]["ms"][row["ours"]]
        limit = row[part]["times"].get(LIMIT)
        lines.append([name_of(row), shape_of(row), number(middle), f"{number(low)} to {number(high)}",
                      *(times(row, part, name) for name in others),
                      "-" if limit is None else f"{1 / limit[1]:.2f} ({row['limit']})"])
    return table(head, lines)


def peers(found: Mapping[str, Any]) -> str:
    rows = found["rows"]
    names = [name for name in columns(rows) if name not in (*FIRST, *LAST)]
    lines = [[name_of(row), name, *(times(row, part, name) for part in PARTS)] for row in rows for name in names
             if any(name in row.get(part, {}).get("times", {}) for part in PARTS)]
    return table(["layer", "peer", *(f"{TITLES[part]}, times" for part in PARTS)], lines)


def costs(found: Mapping[str, Any]) -> str:
    """Memory of a step at its highest, and seconds to the first step."""
    held = ("eager", "inductor", "archc torch")

    def memory(row: Mapping[str, Any], name: str) -> str:
        value = row.get("peak_bytes", {}).get(name)
        return "-" if value is None else f"{value / 1e6:.1f}"

    def seconds(row: Mapping[str, Any], kind: str, name: str) -> str:
        value = row.get(kind, {}).get(name)
        return "-" if value is None else f"{value:.2f}"

    rows = [row for row in found["rows"] if row.get("ours")]
    head = ["layer", "MB, archc", *(f"MB, {name}" for name in held), "first step, s", "again, s", "inductor, s", "again, s"]
    return table(head, [[name_of(row), memory(row, row["ours"]), *(memory(row, name) for name in held),
                         *(seconds(row, kind, name) for name in (row["ours"], "inductor") for kind in ("cold_s", "warm_s"))]
                        for row in rows])


def means(found: Mapping[str, Any]) -> str:
    lines = []
    for name in ("inductor", "eager", "archc torch"):
        both = [found["means"][part].get(name) for part in PARTS]
        if all(both):
            lines.append([name, *(f"{mean[key]:.{digits}f}" for mean in both
                                  for key, digits in (("mean", 2), ("least", 2), ("rows", 0)))])
    return table(["beside", "inference: times as fast", "least", "rows", "step: times as fast", "least", "rows"], lines)


def families(found: Mapping[str, Any]) -> str:
    """Geometric means by family."""
    lines = []
    for family in dict.fromkeys(row["family"] for row in found["rows"]):
        part = by_column([row for row in found["rows"] if row["family"] == family])
        lines.append([family, *("-" if name not in part[kind] else f"{part[kind][name]['mean']:.2f}"
                                for name in ("inductor", "eager") for kind in PARTS)])
    return table(["family", "Inductor: inference", "step", "eager: inference", "step"], lines)


def missed(found: Mapping[str, Any]) -> str:
    """Rows in which Inductor is faster, or takes less memory."""
    lines = []
    for part in PARTS:
        slower = [f"{name_of(row)} ({value[1]:.2f})" for row in found["rows"]
                  if (value := row.get(part, {}).get("times", {}).get("inductor")) and value[1] < 1]
        lines.append(f"- {TITLES[part]}, slower than Inductor: {', '.join(slower) or 'none'}")
    larger = []
    for row in found["rows"]:
        held = row.get("peak_bytes", {})
        mine, others = held.get(row.get("ours")), [held[name] for name in ("inductor", "archc torch") if held.get(name)]
        if mine and others and mine > 1.05 * min(others) + SLACK:
            larger.append(f"{name_of(row)} ({mine / min(others):.2f})")
    lines.append(f"- more memory in a step than Inductor or the torch form, by over a twentieth: {', '.join(larger) or 'none'}")
    return "\n".join(lines) + "\n"


def left_out(found: Mapping[str, Any]) -> str:
    lines = [f"- {name_of(row)}: {name} {reason}" for row in found["rows"] for name, reason in row.get("left_out", {}).items()]
    lines += [f"- {name_of(row)}: {row['failed']}" for row in found["rows"] if "failed" in row]
    return "\n".join(["Left out, and in no mean:\n", *lines]) + "\n" if lines else ""


def machine(found: Mapping[str, Any]) -> str:
    it = found["machine"]
    load = it["load"][0]
    return (f"{it['cpu']}, {it['instructions']}, {it['threads']} threads, Python {it['python']}, torch {it['torch']}, "
            f"{it['date']} UTC, load {load:.1f} before the run and {found['load_after'][0]:.1f} after it")


def page(found: Mapping[str, Any]) -> str:
    rows = f"{len(found['rows'])} of {found['asked']} rows, {found['settings']['seconds']:g} s for each part"
    return "\n".join([f"Measured on {machine(found)}; {rows}.\n",
                      means(found), families(found), "Inference:\n", figures(found, "forward"), "Training step:\n",
                      figures(found, "step"), "Other peers:\n", peers(found),
                      "Memory of a training step at its highest, and seconds from the text to the first step:\n", costs(found),
                      "What was missed:\n", missed(found), left_out(found)])


def readme(found: Mapping[str, Any]) -> str:
    def said(part: str, name: str) -> str:
        return f"{found['means'][part][name]['mean']:.1f}"

    if not all(name in found["means"][part] for part in PARTS for name in ("inductor", "eager")):
        raise SystemExit("the results have no mean beside Inductor and eager")
    rows = found["means"]["step"]["inductor"]["rows"]
    return (f"On {found['machine']['threads']} cores, over {rows} layers and models of the suite, in geometric mean: "
            f"{said('forward', 'inductor')} times as fast as `torch.compile` in inference and {said('step', 'inductor')} times "
            f"in training steps; {said('forward', 'eager')} and {said('step', 'eager')} times as fast as eager PyTorch. "
            "[docs/performance.md](docs/performance.md) has each row, what it was measured on, and what limits it.\n")


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    found = json.loads(path.read_text(encoding="utf-8"))
    CHART.parent.mkdir(exist_ok=True)
    CHART.write_text(chart.drawn(found), encoding="utf-8")
    for name, marker, text in (("docs/performance.md", "suite", page(found)), ("README.md", "suite", readme(found))):
        file = ROOT / name
        file.write_text(between(file.read_text(encoding="utf-8"), marker, text), encoding="utf-8")
        print(f"{name}: the figures of {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
