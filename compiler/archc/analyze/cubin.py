"""Triton kernels compiled ahead of time for a GPU that need not be here: registers, spills, shared memory, widths of loads.

Triton runs in a process of its own, as the interpreter (TRITON_INTERPRET) and the compiler cannot be had in one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archc.codegen.triton.form import Kernel
from archc.runtime.gpu import tiling

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "gfx942")
FITS, LONG, PLACES = 1024, 1 << 15, 1 << 16
"""Elements of the inner axes where they fit into a tile and where they do not, and places, of what is compiled."""


class CubinError(Exception):
    """A sentence that says why kernels could not be compiled."""


@dataclass(frozen=True)
class Spec:
    """One function of a text of kernels: its arguments by type, its constants, and how many warps run it."""

    function: str
    signature: dict[str, str]
    constants: dict[str, int | str]
    warps: int
    elements: int  # of the whole tile


@dataclass(frozen=True)
class Report:
    """What a compiled kernel takes. `loads`, `stores`: instructions of global memory, by their bits; `spilled`: bytes of local
    memory (of AMD: registers)."""

    function: str
    architecture: str
    registers: int
    spilled: int
    shared: int
    loads: dict[str, int]
    stores: dict[str, int]


def specs(kernels: Iterable[Kernel], dtype: str = "fp32") -> Iterator[Spec]:
    """What to compile of kernels: each form at sizes that it is for, sizes being multiples of 16."""
    real = "fp64" if dtype == "fp64" else "fp32"
    pointers = {"int": "*i64", "bool": "*i1"}
    for kernel in kernels:
        for form, _ in kernel.bodies:
            extents = _extents(kernel, FITS if form == "resident" else LONG)
            tiles = tiling(PLACES, extents, kernel.least, kernel.held, bool(kernel.partials), real == "fp64",
                           resident=form == "resident")
            signature = {a.name: pointers.get(a.dtype, f"*{dtype}") for a in (*kernel.inputs, *kernel.outputs)}
            kept = [(m.name, m.dtype) for m in kernel.partials] + [(m.name, m.dtype) for m in kernel.scratch]
            signature |= {name: pointers.get(kind, f"*{real}") for name, kind in kept}
            signature |= {written: "i32" for _, written in kernel.symbols}
            signature |= {"chunks": "i32", "length": "i32"} if kernel.partials else {}
            signature |= {text: "fp32" for number in kernel.numbers for text in (number, f"{number}_rest")}
            constants: dict[str, int | str] = {"PLACES": tiles.places}
            constants |= {inner.tile: width for inner, width in zip(kernel.inner, tiles.widths, strict=True)}
            constants |= {"UNIT": 16, "REAL": real, "INDEX": "int32"}
            signature |= dict.fromkeys(constants, "constexpr")
            yield Spec(f"{kernel.name}_{form}", signature, constants, tiles.warps, tiles.elements)


def _extents(kernel: Kernel, elements: int) -> list[int]:
    """Sizes of the inner axes with so many elements together, the innermost the longest."""
    found: list[int] = []
    for size in kernel.extents[2]:
        found.append(size.constant or 0)
    free = [at for at, size in enumerate(found) if not size]
    bits = (elements // max(1, kernel.least)).bit_length() - 1
    for known in found:
        bits -= max(0, known - 1).bit_length()
    for rank, at in enumerate(free):
        share = -(-bits // (len(free) - rank)) if rank == len(free) - 1 else bits // (len(free) - rank)
        found[at] = 1 << max(0, share)
        bits -= share
    return found


def compiled(text: str, every: Sequence[Spec], architecture: str, cubins: Path | None = None) -> list[Report]:
    """Compiles functions of a text of kernels; writes what comes out below `cubins`, if given."""
    if architecture not in ARCHITECTURES:
        raise CubinError(f"'{architecture}' is not one of {', '.join(ARCHITECTURES)}")
    given = {"text": text, "specs": [asdict(spec) for spec in every], "architecture": architecture,
             "cubins": str(cubins) if cubins else ""}
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).resolve().parents[2]), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-m", "archc.analyze.cubin"], input=json.dumps(given), capture_output=True, text=True,
                          env=environment)
    if done.returncode:
        if "No module named 'triton'" in done.stderr:
            raise CubinError("compiling for a GPU needs triton: pip install 'archc[triton]'")
        raise CubinError(f"Triton did not compile: {done.stderr.strip()[-2000:]}")
    return [Report(**found) for found in json.loads(done.stdout.splitlines()[-1])]


# ------------------------------------------------------------------------------------------ in a process of its own
def main() -> None:
    given = json.load(sys.stdin)
    import importlib.util

    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    name = given["architecture"]
    target = GPUTarget("cuda", int(name[3:]), 32) if name.startswith("sm_") else GPUTarget("hip", name, 64)
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    kinds = {"fp32": tl.float32, "fp64": tl.float64, "int32": tl.int32}
    reports: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.py")
        path.write_text(given["text"], encoding="utf-8")
        spec = importlib.util.spec_from_file_location("archc.runtime.kernels_ahead_of_time", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for wanted in given["specs"]:
            constants = {key: kinds.get(value, value) for key, value in wanted["constants"].items()}
            aligned = [at for at, kind in enumerate(wanted["signature"].values()) if kind.startswith("*")]
            source = ASTSource(getattr(module, wanted["function"]), wanted["signature"], constants,
                               {(at,): [["tt.divisibility", 16]] for at in aligned})
            made = triton.compile(source, target=target, options={"num_warps": wanted["warps"]})
            found = _nvidia(made.asm, tools, Path(folder)) if target.backend == "cuda" else _amd(made.asm)
            found |= {"function": wanted["function"], "architecture": name, "shared": made.metadata.shared}
            reports.append(found)
            if given["cubins"]:
                kind = "cubin" if target.backend == "cuda" else "hsaco"
                Path(given["cubins"]).mkdir(parents=True, exist_ok=True)
                Path(given["cubins"], f"{wanted['function']}.{name}.{kind}").write_bytes(made.asm[kind])
    print(json.dumps(reports))


def _nvidia(asm: dict[str, Any], tools: Path, folder: Path) -> dict[str, Any]:
    cubin = folder / "kernel.cubin"
    cubin.write_bytes(asm["cubin"])
    use = subprocess.run([tools / "cuobjdump", "--dump-resource-usage", cubin], capture_output=True, text=True, check=True).stdout
    sass = subprocess.run([tools / "nvdisasm", cubin], capture_output=True, text=True, check=True).stdout
    numbers = {key: int(value) for key, value in re.findall(r"\b(REG|STACK):(\d+)", use)}
    local = len(re.findall(r"\b(?:STL|LDL)\b", sass))
    return {"registers": numbers["REG"], "spilled": max(numbers["STACK"], 4 * local),
            "loads": _widths(re.findall(r"\bLDG\S*", sass)), "stores": _widths(re.findall(r"\bSTG\S*", sass))}


def _widths(instructions: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for instruction in instructions:
        width = re.search(r"\.(?:[US])?(8|16|64|128)\b", instruction)
        key = width[1] if width else "32"
        found[key] = found.get(key, 0) + 1
    return found


def _amd(asm: dict[str, Any]) -> dict[str, Any]:
    text = asm["amdgcn"]
    numbers = {key: int(value) for key, value in re.findall(r"\.(vgpr_count|vgpr_spill_count|sgpr_spill_count):\s+(\d+)", text)}
    bits = {"ubyte": "8", "sbyte": "8", "byte": "8", "ushort": "16", "short": "16", "dword": "32", "dwordx2": "64",
            "dwordx3": "96", "dwordx4": "128"}
    counts: dict[str, dict[str, int]] = {"load": {}, "store": {}}
    for way, kind in re.findall(r"\b(?:global|buffer)_(load|store)_(\w+)", text):
        key = bits.get(kind.removesuffix("_d16_hi").removesuffix("_d16"), "32")
        counts[way][key] = counts[way].get(key, 0) + 1
    return {"registers": numbers["vgpr_count"], "spilled": numbers["vgpr_spill_count"] + numbers["sgpr_spill_count"],
            "loads": counts["load"], "stores": counts["store"]}


if __name__ == "__main__":
    main()
