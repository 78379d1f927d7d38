"""Draws examples of the test part: permeability, pressure, what a trained layer says of it, and the errors of several as shares of
the largest pressure. It needs matplotlib.

    python picture.py darcy.npz runs/Darcy runs/Fourier runs/Plain --out darcy.png
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
from matplotlib.colors import LogNorm, Normalize


def predict(run: Path, x: np.ndarray) -> tuple[str, np.ndarray]:
    """The name of a run's layer, and what it gives for x, in the data's own units."""
    with safe_open(run / "model.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["archc"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    source = Path(__file__).with_name("darcy_mgno.arch")
    layer = getattr(archc.load(source, **facts["static"]), facts["layer"])(**facts["arguments"])
    layer.load_state_dict(weights)
    scale = {name: {k: np.array(v, np.float32) for k, v in found.items()} for name, found in facts["scaling"].items()}
    with torch.no_grad():
        given = layer.eval()(torch.as_tensor((x - scale["inputs"]["shift"]) / scale["inputs"]["factor"])).numpy()
    return facts["layer"], given * scale["targets"]["factor"] + scale["targets"]["shift"]


def draw(data: Path, runs: list[Path], numbers: list[int], out: Path) -> None:
    with np.load(data) as file:
        x, y = file["x_test"][numbers], file["y_test"][numbers]
    found = [predict(run, x) for run in runs]
    figure, axes = pyplot.subplots(len(numbers), 3 + len(runs), figsize=(2.5 * (3 + len(runs)), 2.6 * len(numbers)), squeeze=False,
                                   layout="constrained")
    for row, (medium, truth) in enumerate(zip(x[:, 0], y[:, 0], strict=True)):
        errors = [np.abs(given[row, 0] - truth) for _, given in found]
        shares = [np.linalg.norm(error) / np.linalg.norm(truth) for error in errors]
        pressure, error_of = Normalize(0, truth.max()), LogNorm(1e-3, 0.5)
        panels = [("permeability", medium, "gray", None), ("pressure", truth, "viridis", pressure),
                  (f"{found[0][0]}'s pressure", found[0][1][row, 0], "viridis", pressure)]
        panels += [(f"error of {name}: {share:.1%}", np.maximum(error / truth.max(), 1e-3), "magma", error_of)
                   for (name, _), error, share in zip(found, errors, shares, strict=True)]
        for place, (title, image, colours, norm) in zip(axes[row], panels, strict=True):
            shown = place.imshow(image, cmap=colours, norm=norm)
            place.set_title(title, fontsize=9)
            place.set_axis_off()
            if norm is not None:
                bar = figure.colorbar(shown, ax=place, shrink=0.8, format="%.1e" if norm is pressure else "%g")
                bar.ax.tick_params(labelsize=6)
    figure.savefig(out, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--numbers", type=int, nargs="+", default=[0, 1], help="which test examples")
    parser.add_argument("--out", type=Path, default=Path("darcy.png"))
    given = parser.parse_args()
    draw(given.data, given.runs, given.numbers, given.out)


if __name__ == "__main__":
    main()
