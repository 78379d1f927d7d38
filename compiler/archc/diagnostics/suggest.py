"""Which names were probably meant."""

from __future__ import annotations

from collections.abc import Iterable

MOST = 3
FARTHEST = 5


def distance(a: str, b: str, most: int) -> int:
    """Letters to insert, drop, change or swap with a neighbour to make `b` of `a`; `most + 1` if that takes more than `most`."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        two_before, before, row = before, row, [most + 1] * (len(b) + 1)
        row[0] = i
        for j in range(max(1, i - most), min(len(b), i + most) + 1):  # farther from the diagonal is farther than `most`
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != b[j - 1]))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == b[j - 1]:
                row[j] = min(row[j], two_before[j - 2] + 1)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def nearest(name: str, among: Iterable[str]) -> list[str]:
    """The names nearest to a wrong one, up to three that are equally near; none where nothing is near.

    Near is a third of the letters, one at least and five at most; a name that differs only in case or underscores is nearer than
    any other.
    """

    def plain(text: str) -> str:
        return text.lower().replace("_", "")

    most = min(max(1, len(name) // 3), FARTHEST)
    found: list[tuple[int, str]] = []
    for other in dict.fromkeys(among):
        if other == name or not other:
            continue
        off = 0 if plain(other) == plain(name) else distance(name, other, most)
        if off <= most and off < max(len(name), len(other)):
            found.append((off, other))
    least = min((off for off, _ in found), default=0)
    return sorted(other for off, other in found if off == least)[:MOST]
