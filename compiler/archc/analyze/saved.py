"""What torch keeps of a forward call for its derivative: asked of torch itself, on its `meta` device, where tensors have shapes
and no elements. Storages count once, however many views of them are kept; params and buffers are there anyway and do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Kept:
    """A storage that autograd keeps: which layer asked for it first, its bytes, whether the caller gave it."""

    path: str
    shape: tuple[int, ...]
    bytes: int
    is_input: bool


class Unknown(Exception):
    """Torch could not say; the text is one sentence."""


def kept(build: Any, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str], *, method: str = "forward",
         training: bool = True, data: bool = False, device: str = "meta") -> list[Kept]:
    """What autograd keeps of one call. `build(device)` makes the module; `dtypes` are those of the language.

    Raises Unknown where the call looks at values, which tensors without elements do not have, and ValueError with the module's
    own sentence where sizes do not fit.
    """
    import torch

    try:
        module: nn.Module = build(device)
        module.train(training)
        inputs = [_input(torch, shape, dtypes[name], device, data) for name, shape in shapes.items()]
        return _record(torch, module, getattr(module, method), inputs)
    except (NotImplementedError, RuntimeError) as error:
        if device != "meta":
            raise
        raise Unknown(str(error).strip().split("\n")[0]) from error


def _input(torch: Any, shape: tuple[int, ...], dtype: str, device: str, data: bool) -> Tensor:
    whole = torch.get_default_dtype()
    kinds = {"float": whole, "int": torch.long, "bool": torch.bool, "complex": whole.to_complex()}
    made = torch.zeros(shape, dtype=kinds[dtype], device=device)
    made.requires_grad_(dtype in ("float", "complex") and not data)
    return made  # type: ignore[no-any-return]


def _record(torch: Any, module: nn.Module, call: Any, inputs: list[Tensor]) -> list[Kept]:
    def key(tensor: Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)

    stored = {key(tensor) for tensor in (*module.parameters(), *module.buffers())}
    given = {key(tensor) for tensor in inputs}
    paths: list[str] = [""]
    found: dict[int, Kept] = {}
    alive: list[Tensor] = []  # a storage that is let go could be made again under the same key

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        where = key(tensor)
        if where not in stored and where not in found:
            found[where] = Kept(paths[-1], tuple(tensor.shape), tensor.untyped_storage().nbytes(), where in given)
        return tensor

    handles = []
    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda *_, path=path: paths.append(path)))
        handles.append(part.register_forward_hook(lambda *_: paths.pop() and None))
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result = call(*inputs)
        del result
    finally:
        for handle in handles:
            handle.remove()
    return list(found.values())
