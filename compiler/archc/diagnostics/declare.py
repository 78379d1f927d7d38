"""Declaring diagnostics: the list of all of them is complete once `archc.diagnostics.codes` is imported."""

from __future__ import annotations

from archc.diagnostics.model import Kind

KINDS: dict[str, Kind] = {}


def declare(code: str, summary: str, **texts: object) -> Kind:
    """`title`, `here`, `note`, `hint` are templates over the facts given when the problem is found."""
    if code in KINDS:
        raise ValueError(f"two diagnostics are called {code}")
    KINDS[code] = Kind(code=code, summary=summary, **texts)  # type: ignore[arg-type]
    return KINDS[code]
