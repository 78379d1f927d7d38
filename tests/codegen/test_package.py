"""The package as files: one golden text, the same bytes for the same input, standing alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import archc
from archc import api
from tests.conftest import Golden

HERE = Path(__file__).parent
LAYERS = HERE / "layers.arch"


def test_the_package_of_the_test_layers(golden: Golden) -> None:
    files = api.files_of(str(LAYERS))
    assert set(files) == {"__init__.py", "modules.py", "manifest.json", "py.typed"}
    golden(HERE / "layers.expected", files["modules.py"].replace(archc.__version__, "VERSION"))


def test_the_same_input_gives_the_same_bytes_in_another_process_and_folder(tmp_path: Path) -> None:
    code = f"import sys; from archc import api; sys.stdout.write(repr(sorted(api.files_of({str(LAYERS)!r}).items())))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {repr(sorted(api.files_of(str(LAYERS)).items()))}
    copied = tmp_path / "deep" / "layers.arch"
    copied.parent.mkdir()
    copied.write_text(LAYERS.read_text())
    assert api.files_of(copied) == api.files_of(LAYERS)


def test_a_package_needs_torch_alone(tmp_path: Path) -> None:
    archc.compile("std.kan", tmp_path / "kan")
    code = """
import sys, torch, pickle
sys.modules["archc"] = None
from kan import KAN
module = KAN(i=4, o=3)
print(tuple(pickle.loads(pickle.dumps(module))(torch.ones(2, 4)).shape), KAN.__module__)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tmp_path)}
    )
    assert run.stdout.strip() == "(2, 3) kan.modules"


def test_emitting_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from archc import api; api.files_of('std.vision');"
        "print([m for m in ('torch', 'numpy', 'networkx') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_the_manifest_says_where_a_package_is_from() -> None:
    manifest = json.loads(api.files_of("std.norm", layers=["LayerNorm"])["manifest.json"])
    assert manifest["compiler"] == f"archc {archc.__version__}" and manifest["source"] == "norm.arch"
    assert manifest["targets"] == ["torch"] and len(manifest["source_hash"]) == 32
    assert manifest["layers"] == {
        "LayerNorm": {
            "parameters": {"c": {"kind": "axis", "default": None}, "eps": {"kind": "float", "default": 1e-5}},
            "statics": {},
            "params": ["gamma", "beta"],
            "buffers": [],
            "methods": ["forward"],
        }
    }


def test_static_choices_change_the_digest() -> None:
    first, second = (json.loads(api.files_of("std.kan", static={"order": order})["manifest.json"]) for order in (2, 3))
    assert first["source_hash"] != second["source_hash"]


@pytest.mark.parametrize("source", ["std.norm", "std.kan", "std.vision", "std.attention", str(LAYERS)])
def test_emitted_code_is_tidy(source: str) -> None:
    text = api.files_of(source)["modules.py"]
    compile(text, source, "exec")
    code = [line for line in text.split("\n") if '"' not in line]
    assert max(map(len, code)) <= 130 and not any(line != line.rstrip() for line in text.split("\n"))
    assert text.count("self.training") <= 2 * text.count("class ")
