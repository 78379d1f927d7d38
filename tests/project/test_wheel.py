"""The wheel: built, installed in a virtual environment of its own, and used from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = "layer Scale(c: axis) {\n    param gain[c] = 1\n    forward(x[..., c]) -> like x { return x * gain }\n}\n"


def call(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_wheel_brings_grammar_and_library(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    built = call(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("archc-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("archc/grammar/arch.lark", "archc/stdlib/kan.arch", "archc/py.typed"):
        assert name in names
    assert not [name for name in names if name.startswith(("tests", "compiler", "grammar")) or "__pycache__" in name]

    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).stdout.strip())
    # Dependencies come from the environment of the tests; archc itself from the wheel alone.
    installed = call(*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    work = tmp_path / "work"
    work.mkdir()
    (work / "scale.arch").write_text(GOOD)
    where = call(python, "-c", "import archc; print(archc.__file__)", cwd=work).stdout.strip()
    assert Path(where).parent == site / "archc"
    for target in ("scale.arch", "std.kan"):
        checked = call(python, "-m", "archc", "check", target, cwd=work)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    compiled = call(python, "-m", "archc", "compile", "scale.arch", "-o", "out", cwd=work)
    assert compiled.returncode == 0, compiled.stderr
    used = call(python, "-c", "import torch, out; print(tuple(out.Scale(3)(torch.ones(2, 3)).shape))", cwd=work)
    assert used.stdout.strip() == "(2, 3)", used.stderr
