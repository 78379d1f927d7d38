"""Words over a finite group and the products of their beginnings, drawn from a seed.

A group is its table: `table[a, b]` is the element a * b, 0 the neutral one. The symbol after the elements begins every word.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor


def symmetric(points: int) -> Tensor:
    """The table of the permutations of some points: 2 gives parity, 3 the group S3, which does not commute."""
    elements = list(permutations(range(points)))
    place = {element: i for i, element in enumerate(elements)}
    return torch.tensor([[place[tuple(a[i] for i in b)] for b in elements] for a in elements])


def words(table: Tensor, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(symbols, products): words of `length` elements after the beginning; the product of all elements up to each place."""
    size = len(table)
    elements = torch.randint(size, (count, length), generator=generator)
    products = [torch.zeros(count, dtype=torch.long)]
    for element in elements.unbind(1):
        products.append(table[products[-1], element])
    begin = torch.full((count, 1), size)
    return torch.cat([begin, elements], 1), torch.stack(products, 1)
