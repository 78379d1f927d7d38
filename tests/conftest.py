"""What all tests share: slow tests wait for --slow and sweeps for --sweep, expected texts lie in files, torch keeps to one thread
in parallel runs."""

from __future__ import annotations

import difflib
import importlib.util
import os
import signal
from pathlib import Path

import pytest

# A shell that runs tests in the background has them ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported: threads that wait leave the core to others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Kernels for GPUs run under Triton's interpreter, on any machine; it looks once, when it is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

# Kernels that tests build do not fill the user's cache; the next run finds them again.
os.environ.setdefault("ARCHC_CACHE", str(Path(__file__).parent.parent / ".pytest_cache" / "archc"))

# Tests that mean the kernels say so.
os.environ.setdefault("ARCHC_BACKEND", "torch")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the expected texts; read the diff before you commit it")
    parser.addoption("--slow", action="store_true", help="run also the tests that take longer than ten seconds")
    parser.addoption("--sweep", action="store_true", help="run also what takes hours: all random programs, all kernels for GPUs")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--bless") and "CI" in os.environ:
        raise pytest.UsageError("--bless rewrites what the tests expect, so it is refused where CI is set")


class Golden:
    """An expected text in a file: `golden(path, text)` compares, and `--bless` rewrites."""

    def __init__(self, bless: bool) -> None:
        self.bless = bless

    def __call__(self, path: Path, text: str) -> None:
        __tracebackhide__ = True
        command = "python -m pytest --bless"
        if self.bless:
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"{path} is missing; write it with: {command}, then read it")
        elif path.read_text(encoding="utf-8") != text:
            expected = path.read_text(encoding="utf-8").splitlines()
            diff = "\n".join(difflib.unified_diff(expected, text.splitlines(), "expected", "found", lineterm=""))
            pytest.fail(f"{path} differs; accept with: {command}\n{diff}")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.config.getoption("--bless"))


def _has_compiler() -> bool:
    from archc.runtime import native

    try:
        return bool(native.compiler())
    except native.BuildError:
        return False


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("compiler") and not _has_compiler():
        pytest.skip("this machine has no C++ compiler")
    if item.get_closest_marker("triton") and importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    waiting = [marker for marker in ("slow", "sweep") if not config.getoption(f"--{marker}")]
    left = [item for item in items if any(item.get_closest_marker(marker) for marker in waiting)]
    items[:] = [item for item in items if item not in set(left)]
    config.hook.pytest_deselected(items=left)
