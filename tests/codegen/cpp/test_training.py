"""Fused modules under what training does with modules: several processes, checkpointing, autocast, threads, forks, many sizes."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

import archc
from archc.runtime import native

pytestmark = pytest.mark.compiler


def layer(backend: str = "cpp", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = archc.load("std.norm", backend=backend).LayerNorm(c=12, **options)  # type: ignore[arg-type]
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def gradients(module: nn.Module, result: Tensor, x: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(result.float().pow(3).sum(), [x, *module.parameters()])
    return [result, *found]


X = torch.linspace(-1, 3, 60).view(5, 12).sin()


# ------------------------------------------------------------------------------------------------ several processes
REPLICA = """
import sys, torch, archc
from torch import nn
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(3)
model = nn.Sequential(nn.Linear(12, 12), archc.load("std.norm", backend="cpp").LayerNorm(c=12))
replica = nn.parallel.DistributedDataParallel(model)
replica(torch.load(f"{folder}/x.pt")[rank::2]).pow(3).mean().backward()
torch.save((model.state_dict(), [parameter.grad for parameter in model.parameters()]), f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    x = X[:4]
    torch.save(x, tmp_path / "x.pt")
    started = [subprocess.Popen([sys.executable, "-c", REPLICA, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    (state, first), (_, second) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    whole = nn.Sequential(nn.Linear(12, 12), layer("torch"))
    whole.load_state_dict(state)
    (whole(x[0::2]).pow(3).mean() / 2 + whole(x[1::2]).pow(3).mean() / 2).backward()
    for mine, other, parameter in zip(first, second, whole.parameters(), strict=True):
        assert torch.equal(mine, other)
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-5)


class Normalized(Dataset[Tensor]):
    """Computes in the workers of a loader, which are forks of a process that has used the kernels."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.x = module, torch.randn(8, 4000, 12)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, at: int) -> Tensor:
        with torch.no_grad():
            return self.module(self.x[at])  # type: ignore[no-any-return]


def test_workers_forked_after_use() -> None:
    data = Normalized(layer())
    wanted = [data[at] for at in range(8)]
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert all(torch.equal(found, other) for found, other in zip(loader, wanted, strict=True))


# ------------------------------------------------------------------------------------------------------- training
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(reentrant: bool) -> None:
    module = layer()
    given = X.clone().requires_grad_()
    plain = X.clone().requires_grad_()
    checkpoint(module, given, use_reentrant=reentrant).pow(3).sum().backward()
    again = [given.grad, *(p.grad for p in module.parameters())]
    module.zero_grad()
    module(plain).pow(3).sum().backward()
    torch.testing.assert_close(again, [plain.grad, *(p.grad for p in module.parameters())])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_with_float32_params(dtype: torch.dtype) -> None:
    found = []
    for backend in ("cpp", "torch"):
        module = nn.Sequential(nn.Linear(12, 12), layer(backend))
        nn.init.eye_(module[0].weight)
        nn.init.zeros_(module[0].bias)
        x = X.clone().to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = module(x)
        found.append(gradients(module, result, x))
    for mine, other in zip(*found, strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=0.05, atol=0.05)


def test_expanded_inputs_and_gradients() -> None:
    ours, theirs = layer(), layer("torch")
    row = X[0].clone().requires_grad_()
    other = X[0].clone().requires_grad_()
    ours(row.expand(5, 12)).sum().backward()  # the cotangent of a sum is expanded too
    theirs(other.expand(5, 12)).sum().backward()
    torch.testing.assert_close(row.grad, other.grad)


def test_a_copy_is_apart() -> None:
    module = layer()
    other = copy.deepcopy(module)
    with torch.no_grad():
        next(other.parameters()).zero_()
    assert not torch.equal(module(X), other(X))


def test_a_default_device_is_not_that_of_results() -> None:
    module = layer()
    wanted = module(X)
    with torch.device("meta"):
        assert torch.equal(module(X), wanted)


def test_types_that_kernels_do_not_know_compute_in_torch() -> None:
    module = layer()
    x = torch.view_as_complex(torch.randn(5, 12, 2)).conj().imag
    assert x.is_neg()
    torch.testing.assert_close(module(x), module(x.resolve_neg()))


def test_inference_mode() -> None:
    module = layer()
    with torch.inference_mode():
        result = module(X.clone())
    assert result.is_inference()
    torch.testing.assert_close(result.clone(), module(X))


# -------------------------------------------------------------------------------------------------------- threads
def test_one_openmp_runtime_and_its_number_of_threads() -> None:
    code = """
import torch, archc
torch.set_num_threads(3)
module = archc.load("std.norm", backend="cpp").LayerNorm(c=64)
module(torch.randn(4000, 64, requires_grad=True)).sum().backward()
maps = open("/proc/self/maps").read()
found = {line.split()[-1] for line in maps.splitlines() if "omp" in line.split("/")[-1]}
assert any("kernels" in line for line in maps.splitlines()), "no kernel is loaded"
print(len(found), *found)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *names = done.stdout.split()
    assert count == "1", names


def test_as_many_threads_as_torch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Noted(dict[Any, Any]):
        def __missing__(self, key: Any) -> Any:
            return lambda *arguments: seen.append(arguments[-1])

    module = layer()
    monkeypatch.setattr(sys.modules[type(module).__module__].__dict__["_kernels"], "functions", Noted())
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                module(X)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 3]


# ---------------------------------------------------------------------------------------------------------- sizes
def test_a_hundred_sizes_are_one_build(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    built: list[str] = []
    plain = native.build
    monkeypatch.setattr(native, "build", lambda text, *rest, **more: (built.append(text), plain(text, *rest, **more))[1])
    source = archc.load("std.norm", backend="cpp").RMSNorm
    monkeypatch.setattr(sys.modules[source.__module__].__dict__["_kernels"], "built", {None: False})
    for _ in range(100):
        c = rng.randint(1, 40)
        module = source(c=c)
        x = torch.randn(*(rng.randint(1, 9) for _ in range(rng.randint(0, 3))), c, requires_grad=True)
        result = module(x)
        torch.testing.assert_close(result, x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6))
        result.sum().backward()
    assert len(built) == len(set(built)) <= (os.cpu_count() or 1)
