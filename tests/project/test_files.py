"""The project's own files agree with one another."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_sizes_are_counted() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "benchmarks" / "size.py")], capture_output=True, text=True, check=False)
    assert "the compiler proper" in done.stdout and not done.stderr


def test_each_command_is_described_once_and_has_a_file() -> None:
    from archc.cli.main import COMMANDS

    for name in COMMANDS:
        path = ROOT / "compiler" / "archc" / "cli" / f"{name}.py"
        assert path.exists() and len(path.read_text().splitlines()) <= 150


def test_the_version_is_the_changelogs_newest() -> None:
    from archc.version import __version__

    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest and newest[1] == __version__


def test_the_readme_links_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")]
    assert [str(page.relative_to(ROOT)) for page in pages if f"({page.relative_to(ROOT)})" not in readme] == []
