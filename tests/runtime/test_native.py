"""Building kernels: once for each text, beside others that build, after kills and damage, where nothing can be written."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from archc.cli.main import main
from archc.codegen.cpp.print import RULE
from archc.runtime import native

pytestmark = pytest.mark.compiler

TEXT = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def answer(path: Path) -> int:
    return int(ctypes.CDLL(str(path)).answer())


def test_built_once(cache: Path) -> None:
    path = native.build(TEXT)
    made = path.stat().st_ino
    assert answer(path) == 42
    assert native.build(TEXT).stat().st_ino == made
    assert [file.name for file in cache.iterdir()] == [path.name]


def test_another_text_or_flag_is_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    first = native.build(TEXT)
    assert native.build(TEXT + "// another") != first
    monkeypatch.setattr(native, "machine", lambda: "another machine")
    assert native.build(TEXT) != first


@pytest.mark.slow
def test_eight_processes_build_the_same_at_once(cache: Path) -> None:
    code = f"import ctypes; from archc.runtime import native; print(ctypes.CDLL(str(native.build({TEXT!r}))).answer())"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert [process.communicate()[0].strip() for process in started] == ["42"] * 8
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_half_written(cache: Path) -> None:
    slow = TEXT + "#include <regex>\nstatic std::regex r(\"a+\");\n"
    code = f"from archc.runtime import native; native.build({slow!r})"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    while not list(cache.glob(".*")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(cache.glob("*.so"))
    assert answer(native.build(slow)) == 42
    for left in cache.glob(".*"):
        os.utime(left, (0, 0))
    native.trim(cache)
    assert not list(cache.glob(".*"))


def test_a_damaged_library_is_built_again() -> None:
    native.build(TEXT).write_bytes(b"torn")
    assert native.opened(TEXT).answer() == 42


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARCHC_CACHE", str(tmp_path / "file"))
    assert native.opened(TEXT).answer() == 42


def test_what_the_compiler_refuses_is_one_warning(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "kernels.cpp").write_text(f"{RULE} answer\nnot C++")
    kernels = native.Kernels(str(tmp_path / "modules.py"))
    with pytest.warns(UserWarning, match="computing with torch's own operations, because the C\\+\\+ compiler refused"):
        assert not kernels.fit(torch.ones(2))
    with warnings.catch_warnings(record=True) as said:
        assert not kernels.fit(torch.ones(2))
        assert not kernels.fit(torch.ones(2, dtype=torch.float64))
    assert not said
    assert not list(cache.iterdir())


def test_the_cache_is_bounded(cache: Path) -> None:
    paths = [native.build(TEXT + "//" + "x" * i) for i in range(4)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1e9 - age, 1e9 - age))
    native.trim(cache, 2 * paths[0].stat().st_size)
    assert sorted(cache.iterdir()) == sorted(paths[2:])


def test_the_command(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native.build(TEXT)
    assert main(["cache", "ls"]) == 0
    assert "1 library" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "removed 1 library" in capsys.readouterr().out
    assert not list(cache.glob("*.so"))


# ------------------------------------------------------------------------------------------- machines that lack something
LAYER = """
import resource, sys, warnings, torch, archc
{before}
layer = archc.load("std.norm", backend="cpp").RMSNorm(c=8)
x = torch.randn(4, 8)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    results = [layer(x) for _ in range(2)]
wanted = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
assert all(torch.allclose(y, wanted, rtol=1e-5) for y in results)
print(len(said), *(str(warning.message) for warning in said))
"""


def said(before: str, **environment: str) -> str:
    """How many warnings a process gives that uses a layer, and what they say."""
    done = subprocess.run([sys.executable, "-c", LAYER.format(before=before)], capture_output=True, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_compiler_on_the_path(tmp_path: Path) -> None:
    sentence = said("", PATH=str(tmp_path))
    assert sentence.startswith("1 computing with torch's own operations, because there is no C++ compiler: install g++ or clang")


def test_a_compiler_that_does_not_run() -> None:
    sentence = said("", CXX="false")
    assert sentence.startswith("1 computing with torch's own operations, because the C++ compiler does not run")


def test_a_full_disk() -> None:
    sentence = said("resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))")
    assert sentence.startswith("1 computing with torch's own operations, because ")


def test_a_cache_that_only_can_be_read(cache: Path) -> None:
    assert said("") == "0"
    kept = sorted(cache.iterdir())
    code = "import pathlib; pathlib.Path.mkdir = None; import tempfile; tempfile.mkdtemp = None"
    assert said(code) == "0"  # nothing is written where all is there
    assert sorted(cache.iterdir()) == kept


def test_compilers_that_are_clang_keep_to_one_runtime_of_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "version", lambda: "clang version 21.1.0")
    monkeypatch.setattr(native, "compiler", lambda: ("clang++",))
    (command,) = native.commands("k.cpp", "k.so")
    assert "-fopenmp" not in command
    assert "-fopenmp-simd" in command
    monkeypatch.setattr(native, "compiler", lambda: ("python", "-m", "ziglang", "c++"))
    compiling, linking = native.commands("k.cpp", "k.so")
    assert compiling[:4] == ["python", "-m", "ziglang", "c++"]
    assert linking[:4] == ["python", "-m", "ziglang", "cc"]
