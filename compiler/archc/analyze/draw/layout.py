"""Places for boxes: rows by how far they are from the inputs, few crossings, lines that pass between boxes.

Rows are networkx's topological generations. A line over several rows has a place of its own in each.
Orders come from barycentres of neighbours, up and down, and the order with the fewest crossings is kept; then boxes move towards
their neighbours as far as the order and the gaps allow, which is an isotonic regression for each row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

GAP, ROW_GAP, LANE = 28.0, 40.0, 10.0
SWEEPS = 12


@dataclass(frozen=True)
class Block:
    """What must be placed: its width and height, and where lines enter and leave, from its left edge."""

    width: float
    height: float
    port: float


@dataclass(frozen=True)
class Placed:
    """Left upper corners of the blocks, the bends of each line (in order, from above), and the size of all."""

    at: tuple[tuple[float, float], ...]
    bends: dict[tuple[int, int], tuple[tuple[float, float, float], ...]]  # x, and the upper and lower end of the row there
    width: float
    height: float


def place(blocks: Sequence[Block], lines: Sequence[tuple[int, int]], first: frozenset[int], last: frozenset[int]) -> Placed:
    """Places for blocks. `first` stand in the highest row (inputs), `last` in the lowest (results)."""
    rank = ranks(len(blocks), lines, first, last)
    widths = {i: block.width for i, block in enumerate(blocks)}
    ports = {i: block.port for i, block in enumerate(blocks)}
    rows: list[list[int]] = [[] for _ in range(max(rank.values(), default=0) + 1)]
    for i in range(len(blocks)):
        rows[rank[i]].append(i)
    pieces: list[tuple[int, int]] = []
    lanes: dict[tuple[int, int], list[int]] = {}
    number = len(blocks)
    for a, b in lines:
        chain = [a]
        for level in range(rank[a] + 1, rank[b]):
            rows[level].append(number)
            rank[number], widths[number], ports[number] = level, LANE, LANE / 2
            chain.append(number)
            number += 1
        lanes[a, b] = chain[1:]
        chain.append(b)
        pieces += itertools.pairwise(chain)
    rows = _ordered(rows, pieces)
    x = _across(rows, pieces, widths, ports)
    heights = [max((blocks[i].height for i in row if i < len(blocks)), default=0.0) for row in rows]
    tops: list[float] = []
    y = 0.0
    for row, height in zip(rows, heights, strict=True):
        tops.append(y)
        crowd = sum(1 for a, _ in pieces if a in row)
        y += height + ROW_GAP + min(3.0 * crowd, 40.0)
    total = tops[-1] + heights[-1] if tops else 0.0
    left = min(x.values(), default=0.0)
    at = tuple((round(x[i] - left, 1), round(tops[rank[i]], 1)) for i in range(len(blocks)))
    bends = {line: tuple((round(x[i] - left + LANE / 2, 1), round(tops[rank[i]], 1), round(tops[rank[i]] + heights[rank[i]], 1))
                         for i in lane) for line, lane in lanes.items()}
    width = max((x[i] + widths[i] for i in x), default=0.0) - left
    return Placed(at, bends, round(width, 1), round(total, 1))


def ranks(count: int, lines: Sequence[tuple[int, int]], first: frozenset[int], last: frozenset[int]) -> dict[int, int]:
    """The row of each block: below everything that it reads; what reads nothing stands just above its first reader."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(lines)
    generations: list[list[int]] = [sorted(generation) for generation in networkx.topological_generations(graph)]
    found = {i: row for row, generation in enumerate(generations) for i in generation}
    for i in (i for generation in reversed(generations) for i in generation):
        below = [found[j] for j in graph.successors(i)]
        if below and graph.in_degree(i) == 0 and i not in first:
            found[i] = min(below) - 1
    lowest = max((row for i, row in found.items() if i not in last), default=0)
    found.update(dict.fromkeys(last, lowest + 1))
    used = {row: place for place, row in enumerate(sorted(set(found.values())))}
    return {i: used[row] for i, row in found.items()}


def _ordered(rows: list[list[int]], pieces: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The order of each row with the fewest crossings that was seen."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for a, b in pieces:
        below.setdefault(a, []).append(b)
        above.setdefault(b, []).append(a)
    best, fewest = [list(row) for row in rows], _crossings(rows, pieces)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        places = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for r in places:
            other = {i: p for p, i in enumerate(rows[r - 1 if down else r + 1])}
            near = above if down else below
            now = {i: p for p, i in enumerate(rows[r])}
            centres = {i: _centre([other[j] for j in near.get(i, ()) if j in other], now[i]) for i in rows[r]}
            rows[r] = sorted(rows[r], key=lambda i: (centres[i], now[i]))
        crossings = _crossings(rows, pieces)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _centre(places: Sequence[int], otherwise: int) -> float:
    return round(sum(places) / len(places), 6) if places else float(otherwise)


def _crossings(rows: list[list[int]], pieces: Sequence[tuple[int, int]]) -> int:
    place = {i: p for row in rows for p, i in enumerate(row)}
    rank = {i: r for r, row in enumerate(rows) for i in row}
    total = 0
    by_row: dict[int, list[tuple[int, int]]] = {}
    for a, b in pieces:
        by_row.setdefault(rank[a], []).append((place[a], place[b]))
    for ends in by_row.values():
        ends.sort()
        total += sum(1 for i, (a, b) in enumerate(ends) for c, d in ends[i + 1 :] if a < c and b > d)
    return total


def _across(rows: list[list[int]], pieces: Sequence[tuple[int, int]], widths: dict[int, float],
            ports: dict[int, float]) -> dict[int, float]:
    """The left edge of everything: near its neighbours, in order, with gaps."""
    near: dict[int, list[int]] = {}
    for a, b in pieces:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    x: dict[int, float] = {}
    for row in rows:
        at = 0.0
        for i in row:
            x[i] = at
            at += widths[i] + GAP
        shift = (at - GAP) / 2
        for i in row:
            x[i] -= shift
    rank = {i: r for r, row in enumerate(rows) for i in row}
    for sweep in range(2 * SWEEPS):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for r in order:
            row = rows[r]
            if not row:
                continue
            wishes, weights = [], []
            for i in row:
                side = [j for j in near.get(i, ()) if (rank[j] < r) == (sweep % 2 == 0)]
                found = side or near.get(i, [])
                wishes.append(sum(x[j] + ports[j] for j in found) / len(found) - ports[i] if found else x[i])
                weights.append(4.0 if widths[i] <= LANE else 1.0)
            for i, value in zip(row, _spaced(wishes, weights, [widths[i] + GAP for i in row]), strict=True):
                x[i] = value
    return x


def _spaced(wishes: Sequence[float], weights: Sequence[float], steps: Sequence[float]) -> list[float]:
    """The places nearest to the wishes (in weighted squares) that keep the order and the steps: isotonic regression."""
    offsets = [0.0]
    for step in steps[:-1]:
        offsets.append(offsets[-1] + step)
    pools: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        value, total, count = wish - offset, weight, 1
        while pools and pools[-1][0] > value:
            before, heavy, many = pools.pop()
            value, total, count = (before * heavy + value * total) / (heavy + total), heavy + total, many + count
        pools.append((value, total, count))
    found = [value for value, _, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(found, offsets, strict=True)]
