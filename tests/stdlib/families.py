"""Further families of layers, and what each is compared with: the authors' formula in plain torch, with our names."""

from __future__ import annotations

from functools import partial

from tests.peers import attention_variants, bases, fitted, hyper, multigrid, rbf, spectral
from tests.stdlib.cases import Case, case


def kans() -> list[Case]:
    tokens = (2, 5, 8)
    return [
        case("kan.RBFKAN", lambda: bases.RBFKAN(8, 3), tokens, i=8, o=3),
        case("kan.RBFKAN", lambda: bases.RBFKAN(8, 3, 4, -1.0, 2.5), tokens, i=8, o=3, count=4, low=-1.0, high=2.5),
        case("kan.ReLUKAN", lambda: bases.ReLUKAN(8, 3), tokens, i=8, o=3),
        case("kan.ReLUKAN", lambda: bases.ReLUKAN(8, 3, 3, 2), tokens, i=8, o=3, grid=3, order=2),
        *(case("kan.ChebyKAN", partial(bases.ChebyKAN, 8, 3, degree), tokens, static={"degree": degree}, i=8, o=3)
          for degree in (1, 2, 4, 7)),
        case("kan.FourierKAN", lambda: bases.FourierKAN(8, 3), tokens, i=8, o=3),
        case("kan.FourierKAN", lambda: bases.FourierKAN(8, 3, 2), tokens, static={"smooth": True}, i=8, o=3, grid=2),
        *(case("kan.GroupRational", partial(bases.GroupRational, 8, 2, start), tokens, static={"start": start}, c=8, groups=2)
          for start in ("identity", "swish", "gelu_old")),
        case("kan.GRKAN", lambda: bases.GRKAN(8, 3, 4), tokens, i=8, o=3, groups=4),
        case("kan.GRKANMLP", lambda: bases.GRKANMLP(8), tokens, c=8),
        case("kan.AFKAN", lambda: bases.AFKAN(8, 3), tokens, i=8, o=3),
        case("kan.AFKAN", lambda: bases.AFKAN(8, 3, 5, 2), tokens, i=8, o=3, grid=5, order=2),
    ]


def attentions() -> list[Case]:
    tokens = (2, 5, 16)
    grouped = partial(attention_variants.GroupedAttention, 16)
    return [
        case("attention.GroupedAttention", partial(grouped, 2, 2), tokens, c=16, groups=2, each=2),
        case("attention.GroupedAttention", partial(grouped, 1, 4, 2), tokens, static={"window": 2}, c=16, groups=1, each=4),
        case("attention.GroupedAttention", partial(grouped, 4, 1, 0, 1.5, True), tokens, static={"cap": 1.5, "one": True}, c=16,
             groups=4, each=1),
        case("attention.DifferentialAttention", lambda: attention_variants.DifferentialAttention(16, 2), tokens, c=16, heads=2),
        case("attention.DifferentialAttention", lambda: attention_variants.DifferentialAttention(16, 1, 3), tokens, c=16, heads=1,
             depth=3),
        case("attention.FourierAttention", lambda: attention_variants.FourierAttention(8, 5, 2), (2, 5, 8), c=8, t=5, heads=2),
        case("attention.NormLin", lambda: attention_variants.NormLin(5, 8), (2, 5, 8), channel=5, c=8),
    ]


def computed() -> list[Case]:
    return [
        case("rbf.GaussianRBF", lambda: rbf.GaussianRBF(3, 2), (2, 5, 3), i=3, o=2),
        case("rbf.GaussianRBF", lambda: rbf.GaussianRBF(4, 1, 5, True), (6, 4), static={"learned": True}, i=4, o=1, c=5),
        case("hyper.WeightNormLinear", lambda: hyper.WeightNormLinear(8, 3), (2, 5, 8), i=8, o=3),
        case("hyper.HyperTrunk", lambda: hyper.HyperTrunk(2), (5, 2), d=2),
    ]


def fitted_to_data() -> list[Case]:
    return [
        case("kan.AdaptiveKAN", lambda: fitted.AdaptiveKAN(8, 3), (2, 5, 8), i=8, o=3),
        case("kan.AdaptiveKAN", lambda: fitted.AdaptiveKAN(4, 3, 3, 2), (7, 4), static={"grid": 3, "order": 2}, i=4, o=3),
        case("basis.PolynomialChaos", lambda: fitted.PolynomialChaos(3, 2), (2, 5, 3), i=3, o=2, m=10),
        case("basis.PolynomialChaos", lambda: fitted.PolynomialChaos(2, 3, 4), (6, 2), static={"degree": 4}, i=2, o=3, m=15),
    ]


def multigrids() -> list[Case]:
    """Down to 3 points or fewer, with every border and chain of sizes."""
    cases = []
    for chosen, size in [
        ({}, 8),
        ({"border": "reflect", "post": (1, 0, 0)}, 12),
        ({"border": "wrap", "residual": True, "pre": (2, 1, 1), "post": (1, 2, 0)}, 8),
        ({"border": "wrap", "around": "wrap", "post": (1, 0, 0)}, 12),
        ({"border": "edge", "up": (3, 3), "biased": True}, 9),
        ({"up": (4, 3), "size": 10}, 10),
        ({"pad": 0, "up": (3, 4), "growing": True, "biased": True, "border": "reflect"}, 13),
    ]:
        static = {**chosen, "pre": chosen.get("pre", (1, 1, 2))}
        reference = partial(multigrid.VCycle, 2, 3, **chosen)
        cases.append(case("multigrid.VCycle", reference, (2, 2, size, size), static=static, f=2, u=3))
    cases.append(case("multigrid.MgNO", lambda: multigrid.MgNO(1, 2, 3, 2), (2, 1, 8, 8), static={"depth": 2}, i=1, o=2, u=3))
    return cases


def spectra() -> list[Case]:
    cases = []
    for rows, columns, shape in [(4, 4, (9, 8)), (5, 3, (8, 9)), (8, 8, (8, 8)), (7, 9, (6, 5)), (6, 6, (5, 4)), (2, 1, (3, 3))]:
        reference = partial(spectral.SpectralConv2d, 2, 3, rows, columns)
        cases.append(case("spectral.SpectralConv2d", reference, (2, 2, *shape), i=2, o=3,
                          rows=rows, columns=columns))
    cases += [
        case("spectral.FNOBlock2d", partial(spectral.FNOBlock2d, 4, 4, 4, last), (2, 4, 7, 6), static={"last": last}, c=4, rows=4,
             columns=4)
        for last in (False, True)
    ]
    cases.append(case("spectral.FNO2d", lambda: spectral.FNO2d(1, 2, 4, 4, 4, 2), (2, 1, 7, 6), static={"depth": 2}, i=1, o=2,
                      c=4, rows=4, columns=4))
    return cases


FAMILIES = [*kans(), *attentions(), *computed(), *fitted_to_data(), *multigrids(), *spectra()]
