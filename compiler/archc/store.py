"""Writing packages and files: whole or not at all. What is new is made beside the target, and then put in its place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from errno import EEXIST
from pathlib import Path

from archc.diagnostics import codes
from archc.diagnostics.model import Kind, Problem, UserError

MANIFEST = "manifest.json"


def write(out: Path, files: Mapping[str, str]) -> list[Path]:
    """Makes the folder `out` with these files and nothing else; gives their paths.

    What was there is replaced if it is a package of ours or an empty folder. Raises UserError, and leaves all as it was, where
    that is not so or the disk refuses.
    """
    out = Path(os.path.abspath(out))
    if not _replaceable(out):
        raise _error(codes.OUT_TAKEN, path=str(out))
    fresh: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".new", dir=out.parent))
        for name, text in files.items():
            _write_file(fresh / name, text)
        fresh.chmod(0o777 & ~_umask())
        _put(fresh, out)
    except OSError as error:
        raise _error(codes.OUT_UNWRITABLE, path=str(out), reason=error.strerror or str(error)) from error
    finally:
        if fresh is not None and fresh.exists():
            shutil.rmtree(fresh, ignore_errors=True)
    return [out / name for name in files]


def replace_text(path: Path, text: str, *, new: bool = False) -> None:
    """Give a file this text; permissions of one that was there stay, and a link goes on pointing to it. `new`: none may be there.

    Raises OSError, FileExistsError among them, and leaves what was there as it was.
    """
    target = Path(os.path.realpath(path))
    if not new and target.exists() and not target.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:  # a pipe or a terminal: nothing can be put in its place
            stream.write(text)
        return
    fresh: str | None = None
    try:
        handle, fresh = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(fresh, target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        if new and os.path.lexists(path):
            raise FileExistsError(EEXIST, os.strerror(EEXIST))
        os.replace(fresh, target)
    except BaseException as error:
        if fresh is not None and os.path.exists(fresh):
            os.unlink(fresh)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None  # by the name that was asked for
        raise


def _replaceable(out: Path) -> bool:
    """Whether nothing of anybody else's stands there."""
    if out.is_symlink() or not out.is_dir():
        return not os.path.lexists(out)
    try:
        names = {entry.name for entry in out.iterdir()} - {"__pycache__"}
        return not names or (MANIFEST in names and '"compiler": "archc ' in (out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return False


def _write_file(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _put(fresh: Path, out: Path) -> None:
    """The fresh folder in the place of the old one, which comes back if the last step fails."""
    if not out.exists():
        fresh.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".old", dir=out.parent))
    out.rename(old / "package")
    try:
        fresh.rename(out)
    except OSError:
        (old / "package").rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _error(kind: Kind, **facts: object) -> UserError:
    return UserError([Problem(kind, None, facts)])
