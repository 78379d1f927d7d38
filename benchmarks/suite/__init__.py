"""The suite of `archc bench --suite`: every case at three sizes. Each `.arch` file here has the layers that the library has not,
each module the same in plain torch, and the cases."""

from __future__ import annotations

from archc.bench.case import Case


def cases() -> list[Case]:
    from suite import attention, grids, kans, models, norms, recurrences

    return [case for module in (norms, kans, attention, recurrences, grids, models) for case in module.cases()]
