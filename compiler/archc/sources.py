"""Reading programs: files and the standard library, with every way in which that can fail as a diagnostic.

A file imports what lies below its own folder, and `std.`; a path that leaves the folder, by links too, is refused.
"""

from __future__ import annotations

from pathlib import Path

from archc.checker.program import Program
from archc.diagnostics import codes
from archc.diagnostics.model import Kind, Limit, Problem, Problems, UserError
from archc.limits import LIMITS, beyond
from archc.resources import STDLIB, folder

STD = "std."


def read(path: str | Path, problems: Problems) -> str | None:
    """The text of a file, or None with the reason among the problems."""
    path = Path(path)
    try:
        if path.is_dir():
            problems.add(codes.FILE_FOLDER, None, path=str(path))
            return None
        if path.stat().st_size > 4 * LIMITS["characters"].value:
            beyond(problems, "characters", None)
            return None
        data = path.read_bytes()
    except FileNotFoundError:
        others = [str(p) for p in path.parent.glob("*.arch")] if path.parent.is_dir() else []
        problems.add(codes.FILE_MISSING, None, path=str(path), others=others)
        return None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        problems.add(codes.FILE_UNREADABLE, None, path=str(path), reason=reason)
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(codes.FILE_ENCODING, None, path=str(path), byte=f"0x{data[error.start]:02x}", offset=error.start)
        return None
    if not text.strip():
        problems.add(codes.FILE_EMPTY, None, path=str(path))
        return None
    return text


def locate(source: str | Path) -> Path:
    """The file of `std.norm` or of a path."""
    name = str(source)
    if name.startswith(STD) and not name.endswith(".arch") and "/" not in name:
        return folder(STDLIB) / (name.removeprefix(STD).replace(".", "/") + ".arch")
    return Path(source)


def shown(path: Path) -> str:
    """How a file is called in messages and in what is emitted: library files by their place in the library."""
    try:
        return str(Path(STDLIB) / path.resolve().relative_to(folder(STDLIB).resolve()))
    except ValueError:
        return str(path)


class Resolver:
    """Finds imported files. `home` is the folder of the file that the program starts from."""

    def __init__(self, home: Path, problems: Problems) -> None:
        self.home, self.problems = home, problems
        self.places: dict[str, Path] = {}  # by the name shown

    def __call__(self, dotted: str, importing: str) -> tuple[str, str] | Kind | None:
        if dotted.startswith(STD):
            below, relative = folder(STDLIB), dotted.removeprefix(STD)
        else:
            below, relative = self.places.get(importing, Path(importing)).parent, dotted
        path = below / (relative.replace(".", "/") + ".arch")
        try:
            inside = path.resolve().is_relative_to(below.resolve())
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            return codes.IMPORT_OUTSIDE
        if not path.is_file():
            return codes.IMPORT_UNKNOWN
        text = read(path, self.problems)
        if text is None:
            return None
        name = shown(path)
        self.places[name] = path
        return name, text


def load_text(text: str, path: str, problems: Problems, home: Path | None = None) -> Program | None:
    """Parse a program from text; its imports are looked for beside `path`."""
    place = Path(path)
    resolver = Resolver(home or place.parent, problems)
    resolver.places[path] = (home / place.name) if home else place
    return Program.load(text, path, resolver, problems)


def load_file(source: str | Path, problems: Problems) -> Program | None:
    """Parse a program from a file or from the library."""
    path = locate(source)
    text = read(path, problems)
    if text is None:
        return None
    name = shown(path)
    resolver = Resolver(path.parent, problems)
    resolver.places[name] = path
    return Program.load(text, name, resolver, problems)


def raise_errors(problems: Problems, program: Program | None) -> None:
    """Raise what was found, if there is an error among it."""
    errors: list[Problem] = [p for p in problems.sorted() if p.kind.severity == "error"]
    if errors:
        kind = Limit if all(p.kind.exit == "limit" for p in errors) else UserError
        raise kind(errors, {**(program.sources if program else {}), **problems.texts})
