"""What a model's predictions are worth: accuracy for classes; RMSE, in the data's own units, and R2 for values; RMSE and the
relative L2 error for fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archc.train.data.dataset import Task
from archc.train.data.split import Scaling

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archc.train.losses import Function

BATCH = 512  # examples at a time when no gradient is needed


def hits(given: Tensor, wanted: Tensor) -> int:
    """How many examples have the highest score at their class, or a single logit with the right sign."""
    guess = given.argmax(1) if given.ndim == 2 and given.shape[1] > 1 else (given.reshape(wanted.shape) > 0).to(wanted.dtype)
    return int((guess == wanted).sum())


def evaluate(module: nn.Module, loss: Function, x: Tensor, y: Tensor, task: Task, scaling: Scaling | None) -> dict[str, float]:
    """`loss`, and `accuracy`, `rmse` and `r2`, or `rmse` and `relative_l2`, over a part of the data; the module is in eval mode
    meanwhile."""
    import torch

    module.eval()
    total, outputs = 0.0, []
    with torch.no_grad():
        for start in range(0, len(x), BATCH):
            given, wanted = module(x[start: start + BATCH]), y[start: start + BATCH]
            total += float(loss(given, wanted)) * len(wanted)
            outputs.append(given.reshape(len(wanted), -1) if task == "values" else given)
    module.train()
    result = {"loss": total / len(x)}
    given, y = torch.cat(outputs).cpu(), y.cpu()  # not every accelerator has float64
    if task == "classes":
        return result | {"accuracy": hits(given, y) / len(y)}
    found = errors_of(given, y.reshape(len(y), -1), scaling)
    if y.ndim > 2:
        del found["r2"]  # a place whose value never changes has none
        wanted = y.reshape(len(y), -1).double()
        norms = wanted.norm(dim=1).clamp_min(1e-300)
        found["relative_l2"] = float(((given.double() - wanted).norm(dim=1) / norms).mean())
    return result | found


def errors_of(given: Tensor, wanted: Tensor, scaling: Scaling | None) -> dict[str, float]:
    """Root mean square error and coefficient of determination over [n, values]; R2 is the mean over values."""
    import torch

    given, wanted = given.double(), wanted.double()
    if scaling is not None:
        factor = torch.as_tensor(scaling.factor).double().reshape(-1)
        given, wanted = given * factor, wanted * factor
    squares = ((given - wanted) ** 2).sum(0)
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0)
    r2 = 1 - squares / spread.clamp_min(1e-300)
    return {"rmse": float((squares.sum() / wanted.numel()).sqrt()), "r2": float(r2.mean())}


def words(values: dict[str, float], names: Sequence[str] = ("loss", "accuracy", "rmse", "r2", "relative_l2")) -> str:
    """`loss 0.1234  accuracy 97.2 %`, in the order of `names`."""

    def one(name: str) -> str:
        value = values[name]
        return f"accuracy {value:.2%}".replace("%", " %") if name == "accuracy" else f"{name.replace('_', ' ')} {value:.4g}"

    return "  ".join(one(name) for name in names if name in values)
