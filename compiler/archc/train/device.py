"""Where a run computes: the devices that torch can use on this machine, by the names that torch gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archc.train.errors import TrainError

if TYPE_CHECKING:
    import torch


def available() -> list[str]:
    """`cpu`, and each accelerator by its number."""
    import torch

    found = ["cpu"]
    if torch.accelerator.is_available():
        accelerator: Any = torch.accelerator.current_accelerator()
        found += [f"{accelerator.type}:{index}" for index in range(torch.accelerator.device_count())]
    return found


def device(name: str) -> torch.device:
    """The device of that name; without a number, torch's current one of the kind. Raises TrainError if it is not there."""
    import torch

    here = available()
    if name not in here and name not in {entry.split(":")[0] for entry in here}:
        raise TrainError(f"--device {name} is not there: torch can use {', '.join(here)} on this machine")
    return torch.device(name)


def random_state(of: torch.device) -> torch.Tensor:
    """The state of an accelerator's generator."""
    import torch

    state: torch.Tensor = torch.get_device_module(of).get_rng_state(of)
    return state


def set_random_state(of: torch.device, state: torch.Tensor) -> None:
    import torch

    torch.get_device_module(of).set_rng_state(state, of)
