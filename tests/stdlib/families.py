"""Further families of layers, and what each is compared with: the authors' formula in plain torch, with our names."""

from __future__ import annotations

from functools import partial

from tests.peers import bases
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
    ]


FAMILIES = [*kans()]
