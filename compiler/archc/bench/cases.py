"""Which cases there are: those of the suite in archc's repository, or one layer of a file at sizes that are given."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archc.bench.case import Case
from archc.bench.errors import BenchError

BESIDE = Path(__file__).resolve().parents[3] / "benchmarks"


def suite(folder: Path = BESIDE) -> list[Case]:
    """The cases of the suite. Raises BenchError where archc was installed without its repository."""
    if not (folder / "suite" / "__init__.py").is_file():
        raise BenchError("the suite is in archc's repository, not in the installed package; a layer of your own needs neither: "
                         "archc bench FILE --layer NAME --sizes n=32")
    sys.path.insert(0, str(folder))
    found: list[Case] = importlib.import_module("suite").cases()
    return found


def found(spec: Mapping[str, Any]) -> Case:
    """The case that a description names: `{"key": ...}` of the suite, else what `own` takes."""
    if "key" in spec:
        return next(case for case in suite() if case.key == spec["key"])
    from archc.bench.own import own

    return own(**spec)
