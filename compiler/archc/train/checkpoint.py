"""A run's whole state as one safetensors file, written so that a kill at any moment leaves the old one or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.train.errors import TrainError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "1"


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file as one act: a temporary file beside it, synced, renamed. Raises TrainError where that fails."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainError(f"'{path}' cannot be written: {error.strerror or error}") from None


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder lasting, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Nested dicts, lists and numbers as JSON, their tensors put aside under names that begin with `name`."""
    from torch import Tensor

    if isinstance(value, Tensor):
        # A copy: safetensors refuses tensors that share memory, as tied weights do.
        tensors[name] = value.detach().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"map": [[key, pack(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [pack(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`; tuples come back as lists."""
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "map" in value:
        return {key: unpack(item, tensors) for key, item in value["map"]}
    if "list" in value:
        return [unpack(item, tensors) for item in value["list"]]
    return value["value"]


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Writes nested dicts of tensors and JSON values."""
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {}
    packed = {key: pack(value, key, tensors) for key, value in state.items()}
    # One entry: safetensors writes several in an order that changes from run to run.
    write_whole(path, to_bytes(tensors, {"archc": json.dumps({"format": FORMAT, "state": packed})}))


def load(path: Path) -> dict[str, Any] | None:
    """What `save` wrote, or None if there is no file. Raises TrainError for a file that is not a checkpoint."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("archc", "{}"))
            # Cloned, because a tensor within the file's memory may be unaligned, and a dot product then rounds otherwise.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"'{path}' is not a checkpoint: {error}") from None
    if meta.get("format") != FORMAT:
        raise TrainError(f"'{path}' is not a checkpoint that this version of archc reads")
    return {key: unpack(value, tensors) for key, value in meta["state"].items()}
