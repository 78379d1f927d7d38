"""Draws how well trained layers read digits by their angle, and the weights that a hypernetwork computes for each. It needs matplotlib.

    python picture.py turned.npz runs/Turned-turned runs/Fixed-turned --out turned.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
import torch
from safetensors import safe_open

import archc

matplotlib.use("Agg")
from matplotlib import pyplot


def load(run: Path) -> tuple[str, torch.nn.Module]:
    """What to call a run's layer, and the layer with its trained weights."""
    with safe_open(run / "model.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["archc"])
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    source = Path(__file__).with_name("hypernet.arch")
    layer = getattr(archc.load(source, **facts["static"]), facts["layer"])(**facts["arguments"])
    layer.load_state_dict(stored)
    return f"{facts['layer']}, {facts['arguments'].get('hidden', 16)} hidden units", layer.eval()


def weights(layer: torch.nn.Module, shares: torch.Tensor) -> torch.Tensor:
    """[angle, hidden, 8, 8]: those of the first layer, theta plus what the hypernetwork adds to it at each angle."""
    first = layer.classifier.first
    with torch.no_grad():
        code = layer.classifier.trunk(shares[:, None])
        return (first.weight + torch.einsum("oiu,zu->zoi", first.to_weight, code)).unflatten(-1, (8, 8))


def draw(data: Path, runs: list[Path], out: Path) -> None:
    with np.load(data) as file:
        x, y = torch.as_tensor(file["x_test"]), torch.as_tensor(file["y_test"])
    figure = pyplot.figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 3))
    axes = left.subplots()
    edges = torch.linspace(0, 1, 10)
    middles = 90 * (edges[1:] + edges[:-1])
    shown = None
    for run in runs:
        title, layer = load(run)
        with torch.no_grad():
            right_ones = (layer(x).argmax(1) == y).double()
        place = torch.bucketize(x[:, 0].contiguous(), edges[1:-1])
        axes.plot(middles, [100 * right_ones[place == bin_].mean() for bin_ in range(len(middles))], marker="o", ms=3, label=title)
        if shown is None and hasattr(layer.classifier, "trunk"):
            shown = layer
    axes.set(xlabel="angle, degrees", ylabel="test accuracy, %", xlim=(0, 180), ylim=(None, 100))
    axes.legend(fontsize=8)
    if shown is not None:
        angles = torch.linspace(0, 180, 7)
        found = weights(shown, angles / 180)
        chosen = found.square().sum((0, 2, 3)).argsort(descending=True)[:3]
        for row, (unit, places) in enumerate(zip(chosen, right.subplots(3, len(angles)), strict=True)):
            top = found[:, unit].abs().max()
            for place_, image, angle in zip(places, found[:, unit], angles, strict=True):
                place_.imshow(image, cmap="RdBu", vmin=-top, vmax=top)
                place_.set_axis_off()
                if row == 0:
                    place_.set_title(f"{angle:.0f} degrees", fontsize=8)
    figure.savefig(out, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("turned.png"))
    given = parser.parse_args()
    draw(given.data, given.runs, given.out)


if __name__ == "__main__":
    main()
