"""Trains trackers of parity and of S3 and says how far beyond the lengths of training they are right.

    python train.py [--only S3] [--seed 0] [--out tracking]

Writes the table of accuracies to OUT.md and a picture, accuracy by place in the word, to OUT.svg.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import groups
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archc

SOURCE = Path(__file__).with_name("parity_deltaproduct.arch")


@dataclass(frozen=True)
class Task:
    group: str
    points: int  # that the group permutes
    length: int  # of the words to train on
    steps: int  # Householder steps for each symbol
    negative: bool  # strengths up to 2
    updates: int

    @property
    def name(self) -> str:
        return f"{self.group}, {self.steps} step{'s' * (self.steps > 1)}, strength up to {1 + self.negative}"


TASKS = [
    Task("parity", 2, 16, 1, True, 400),
    Task("parity", 2, 16, 1, False, 400),
    Task("S3", 3, 12, 2, True, 900),
    Task("S3", 3, 12, 1, True, 900),
    Task("S3", 3, 12, 2, False, 900),
]


def model(task: Task) -> nn.Module:
    size = math.factorial(task.points)
    found: nn.Module = archc.load(SOURCE, steps=task.steps, negative=task.negative).Tracker(symbols=size + 1)
    return found


def train(task: Task, seed: int = 0, updates: int | None = None, batch: int = 64) -> nn.Module:
    """A tracker trained on fresh words in every batch."""
    torch.manual_seed(seed)
    tracker, table = model(task), groups.symmetric(task.points)
    generator = torch.Generator().manual_seed(seed)
    updates = task.updates if updates is None else updates
    optimizer = torch.optim.AdamW(tracker.parameters(), 3e-3, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        symbols, products = groups.words(table, batch, task.length, generator)
        loss = F.cross_entropy(tracker(symbols).flatten(0, 1), products.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tracker.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return tracker


@torch.no_grad()
def right(tracker: nn.Module, task: Task, length: int, seed: int = 1, count: int = 512) -> Tensor:
    """Whether each product is right, [words, places], of words that training has not drawn; symbol by symbol, with `step`."""
    symbols, products = groups.words(groups.symmetric(task.points), count, length, torch.Generator().manual_seed(1000 + seed))
    state, found = None, []
    for symbol in symbols.unbind(1):
        scores, state = tracker.step(symbol, state)
        found.append(scores.argmax(-1))
    return (torch.stack(found, 1) == products)[:, 1:]


def picture(curves: dict[str, tuple[int, list[float]]]) -> str:
    """Accuracy by place in the word as SVG; a dot ends the lengths of training."""
    colours = ["#1b6ca8", "#8fb8d8", "#b5402f", "#e09a6b", "#8a8a8a"]
    width, height, left, bottom, longest = 720, 320, 56, 40, max(len(found) for _, found in curves.values())
    x = lambda place: left + (width - left - 230) * place / longest  # noqa: E731
    y = lambda share: (height - bottom) - (height - bottom - 20) * share  # noqa: E731
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             'font-family="sans-serif" font-size="12" fill="#222">', f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        lines += [f'<path d="M{left} {y(share):.1f}H{x(longest):.1f}" stroke="#ddd"/>',
                  f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>']
    lines += [f'<text x="{x(place):.1f}" y="{height - 22}" text-anchor="middle">{place}</text>' for place in range(0, longest + 1, 16)]
    lines.append(f'<text x="{x(longest / 2):.1f}" y="{height - 6}" text-anchor="middle">place in the word</text>')
    for i, (name, (trained, found)) in enumerate(curves.items()):
        points = " ".join(f"{x(place):.1f},{y(share):.1f}" for place, share in enumerate(found, 1))
        lines += [f'<polyline points="{points}" fill="none" stroke="{colours[i % 5]}" stroke-width="2"/>',
                  f'<circle cx="{x(trained):.1f}" cy="{y(found[trained - 1]):.1f}" r="4" fill="{colours[i % 5]}"/>',
                  f'<rect x="{width - 222}" y="{28 + 24 * i}" width="14" height="4" fill="{colours[i % 5]}"/>',
                  f'<text x="{width - 202}" y="{34 + 24 * i}">{name}</text>']
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tracking"))
    given = parser.parse_args()
    rows = ["| task | trained on | products right at T, 2T, 4T | whole words right at T, 2T, 4T | seconds |", "|---|---|---|---|---|"]
    curves: dict[str, tuple[int, list[float]]] = {}
    for task in TASKS:
        if given.only not in task.name:
            continue
        begin = time.perf_counter()
        tracker = train(task, given.seed)
        seconds = time.perf_counter() - begin
        hits = right(tracker, task, 4 * task.length, given.seed)
        cuts = [hits[:, : task.length * k] for k in (1, 2, 4)]
        tokens, whole = ([f"{value:.1%}" for value in found] for found in
                         ([cut.float().mean().item() for cut in cuts], [cut.all(1).float().mean().item() for cut in cuts]))
        rows.append(f"| {task.name} | T = {task.length}, {task.updates} steps | {', '.join(tokens)} | {', '.join(whole)} | {seconds:.0f} |")
        curves[task.name] = task.length, hits.float().mean(0).tolist()
        print(rows[-1], flush=True)
    given.out.with_suffix(".md").write_text("\n".join(rows) + "\n")
    given.out.with_suffix(".svg").write_text(picture(curves))


if __name__ == "__main__":
    main()
