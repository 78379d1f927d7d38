"""Kernels compiled for GPUs that are not here: no spill, wide loads, each input read once where it fits into a tile."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import api
from archc.analyze.cubin import ARCHITECTURES, CubinError, compiled, specs
from archc.cli.main import main
from archc.codegen.triton.form import loads
from tests.example_lines import EXAMPLES

FILES = sorted({example.path for example in EXAMPLES})

pytestmark = pytest.mark.triton


def bits(counts: dict[str, int]) -> int:
    return sum(int(width) * count for width, count in counts.items())


@pytest.mark.parametrize("architecture", ["sm_90", *(pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES)])
def test_a_norm_reads_each_input_once_with_wide_loads(architecture: str) -> None:
    text, kernels = api.triton_kernels("std.norm", layers=["LayerNorm"])
    chosen = [kernel for kernel in kernels if kernel.name in ("layer_norm_kernel", "layer_norm_derivative_kernel")]
    wanted = [spec for spec in specs(chosen) if spec.function.endswith("_resident")]
    threads = 32 if architecture.startswith("sm_") else 64
    for kernel, spec, found in zip(chosen, wanted, compiled(text, wanted, architecture), strict=True):
        assert found.spilled == 0, found
        assert set(found.loads) == {"128"}, found
        # each input is one tile along the row: x, the cotangent, gamma, beta
        assert bits(found.loads) * threads * spec.warps == len(kernel.inputs) * spec.elements * 32, found


@pytest.mark.sweep
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_kernel_whose_rows_fit_spills(path: Path, architecture: str) -> None:
    source = f"std.{path.stem}" if path.parent.name == "stdlib" else str(path)
    text, kernels = api.triton_kernels(source)
    wanted = [spec for spec in specs(kernels) if spec.function.endswith("_resident")]
    for found in compiled(text, wanted, architecture) if wanted else ():
        assert found.spilled == 0, found


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "stdlib"], ids=lambda path: path.stem)
def test_the_form_loads_no_input_twice(path: Path) -> None:
    """Where rows fit, once, each of several places of an axis; where they do not, once for each sweep."""
    _, kernels = api.triton_kernels(f"std.{path.stem}")
    for kernel in kernels:
        names = {array.name for array in kernel.inputs}
        for form, body in kernel.bodies:
            found = [load for part in (body.head, body.body, body.tail) for load in loads(part) if load.value in names]
            most = max(map(found.count, found), default=0)
            assert most <= (1 if form == "resident" else 2 + 2 * len(kernel.inner)), (kernel.name, form, found)


def test_the_command_reports_and_writes_what_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "norm"
    assert main(["compile", "std.norm", "--layer", "RMSNorm", "-o", str(out), "--target", "sm_90", "--cubin"]) == 0
    shown = capsys.readouterr().out
    assert "rmsnorm_kernel_resident" in shown and "registers" in shown
    assert (out / "sm_90" / "rmsnorm_kernel_resident.sm_90.cubin").read_bytes()[:4] == b"\x7fELF"
    assert (out / "kernels.py").exists()


def test_an_unknown_gpu_is_said() -> None:
    with pytest.raises(CubinError, match="'sm_1' is not one of sm_80"):
        compiled("", [], "sm_1")
