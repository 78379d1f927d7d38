"""MgNO (He, Liu, Xu, arXiv 2310.19809) in plain torch: one loop down and one loop up over lists of convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODES = {"zero": "zeros", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


class VCycle(nn.Module):
    """Levels are nested as `cycle.coarse.coarse` so that names are ours; what is computed is the authors' loop."""

    def __init__(self, f: int, u: int, pre: Sequence[int] = (1, 1, 2), post: Sequence[int] = (0, 0, 0),
                 up: Sequence[int] = (4, 4), pad: int = 1, border: str = "zero", biased: bool = False, residual: bool = False,
                 growing: bool = False, size: int = 0, around: str = "zero") -> None:
        super().__init__()
        self.residual, self.around = residual, around
        mode = MODES[border]

        def smoother(a: int, b: int) -> nn.Conv2d:
            return nn.Conv2d(a, b, 3, padding=1, padding_mode=mode, bias=biased)

        self.start = smoother(f, u)
        self.levels: list[nn.Module] = []
        holder: nn.Module = self
        for level, sweeps in enumerate(pre):
            here = nn.Module()
            setattr(holder, "coarse" if level else "cycle", here)
            holder = here
            self.levels.append(here)
            fl, ul = (f * (level + 1), u * (level + 1)) if growing else (f, u)
            count = sweeps if level else sweeps - 1
            here.down_a = nn.ModuleList(smoother(ul, fl) for _ in range(count))
            here.down_s = nn.ModuleList(smoother(fl, ul) for _ in range(count))
            if level == len(pre) - 1:
                break
            fc, uc = (f * (level + 2), u * (level + 2)) if growing else (f, u)
            if residual:
                here.rest = smoother(ul, fl)
            here.restrict_f = nn.Conv2d(fl, fc, 3, 2, pad, padding_mode=mode, bias=False)
            here.restrict_u = nn.Conv2d(ul, uc, 3, 2, pad, padding_mode=mode, bias=False)
            here.prolong = nn.ConvTranspose2d(uc, ul, up[level], 2, pad, bias=False)
            here.up_a = nn.ModuleList(smoother(ul, fl) for _ in range(post[level]))
            here.up_s = nn.ModuleList(smoother(fl, ul) for _ in range(post[level]))
            if size:
                points = size
                for _ in range(level):
                    points = (points + 1) // 2 if pad else (points - 1) // 2
                here.gamma = nn.Parameter(torch.ones(ul, points, points))
                here.beta = nn.Parameter(torch.zeros(ul, points, points))

    def forward(self, x: Tensor) -> Tensor:
        u, saved = self.start(x), []
        for level in self.levels:
            for a, s in zip(level.down_a, level.down_s, strict=True):
                u = u + s(x - a(u))
            saved.append((u, x))
            if level is not self.levels[-1]:
                x = level.restrict_f(x - level.rest(u) if self.residual else x)
                u = level.restrict_u(u)
        for level, (fine, x) in list(zip(self.levels, saved, strict=True))[-2::-1]:
            if self.around == "wrap":
                ring = F.pad(u, (1, 1, 1, 1), mode="circular")
                padding = level.prolong.padding[0] + 2
                u = fine + F.conv_transpose2d(ring, level.prolong.weight, None, 2, padding)
            else:
                u = fine + level.prolong(u)
            if hasattr(level, "gamma"):
                u = F.layer_norm(u, u.shape[1:], level.gamma, level.beta)
            for a, s in zip(level.up_a, level.up_s, strict=True):
                u = u + s(x - a(u))
        return u


class MgNO(nn.Module):
    def __init__(self, i: int, o: int, u: int, depth: int = 4, **levels: Sequence[int]) -> None:
        super().__init__()
        self.first, self.past = VCycle(i, u, **levels), nn.Conv2d(i, u, 1)  # type: ignore[arg-type]
        self.cycles = nn.ModuleList(VCycle(u, u, **levels) for _ in range(depth - 1))  # type: ignore[arg-type]
        self.beside = nn.ModuleList(nn.Conv2d(u, u, 1) for _ in range(depth - 1))
        self.head = nn.Conv2d(u, o, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.first(x) + self.past(x))
        for cycle, beside in zip(self.cycles, self.beside, strict=True):
            x = F.gelu(cycle(x) + beside(x))
        return self.head(x)
