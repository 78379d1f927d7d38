"""What a file can import: modules of the standard library, and the `.arch` files below its own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archc.resources import STDLIB, folder
from archc.sources import STD

MOST = 200
"""Files looked at below a folder, so that a home directory is no trouble."""


def modules_of(path: Path) -> list[str]:
    library = folder(STDLIB)
    found = [STD + dotted(file, library) for file in sorted(library.rglob("*.arch"))]
    beside = [dotted(file, path.parent) for file in below(path.parent) if file != path]
    return found + sorted(name for name in beside if all(part.isidentifier() for part in name.split(".")))


def below(home: Path) -> Iterator[Path]:
    """`.arch` files in a folder and one below."""
    seen = 0
    for pattern in ("*.arch", "*/*.arch"):
        for file in home.glob(pattern):
            seen += 1
            if seen > MOST:
                return
            yield file


def dotted(file: Path, home: Path) -> str:
    return ".".join(file.relative_to(home).with_suffix("").parts)
