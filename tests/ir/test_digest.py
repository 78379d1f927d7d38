"""Cases that the canonical digest must get right; the bulk is in tests/fuzz."""

from __future__ import annotations

import pytest

from archc.ir.digest import digest
from archc.ir.text import parse

WINDOW = """graph f(x: float[a, b])
  axis i = 3
  axis j = 3
  %0 = iota i : int[i]
  %1 = iota j : int[j]
  %2 = read %x[b = %0 edge] : float[a, i]
  %3 = read %x[b = %1 edge] : float[a, j]
  %4 = {op} %2, %3 : float[a, i, j]
  %5 = sum[{over}] %4 : {left}
  return r[{out}] = %5
"""


def window(op: str = "mul", over: str = "i, j", left: str = "float[a]", out: str = "a") -> str:
    return digest(parse(WINDOW.format(op=op, over=over, left=left, out=out)))


def test_interchangeable_axes() -> None:
    assert window(over="i", left="float[a, j]", out="a, j") == window(over="j", left="float[a, i]", out="a, i")
    assert window("sub", "i", "float[a, j]", "a, j") != window("sub", "j", "float[a, i]", "a, i")
    assert window() == window() != window("sub")


def test_many_interchangeable_axes() -> None:
    """Seven axes of equal role: whichever is chosen first, the digest is the same."""

    def text(names: str, result: str) -> str:
        sizes = "\n".join(f"  axis {name} = 2" for name in names)
        axes, rest = ", ".join(names), ", ".join(names[1:])
        return f"""graph f(x: float[b])
{sizes}
  %0 = expand[{axes}] %x : float[b, {axes}]
  %1 = sum[{rest}] %0 : float[b, {names[0]}]
  return r[{result}] = %1"""

    orders = ["cdefghi", "ihgfedc", "fghicde"]
    assert len({digest(parse(text(order, f"b, {order[0]}"))) for order in orders}) == 1
    assert digest(parse(text("cde", "b, c"))) != digest(parse(text("cde", "c, b")))


def test_serials_tell_draws_apart_and_their_values_do_not_count() -> None:
    text = """graph f(x: float[n])
      %0 = random normal[n] #{a} 0.0, 1.0 : float[n]
      %1 = random normal[n] #{b} 0.0, 1.0 : float[n]
      %2 = mul %0, %x : float[n]
      %3 = add %2, %1 : float[n]
      return r[n] = %3"""
    assert digest(parse(text.format(a=0, b=1))) == digest(parse(text.format(a=9, b=4)))
    assert digest(parse(text.format(a=0, b=1))) != digest(parse(text.format(a=3, b=3)))


@pytest.mark.parametrize(("left", "right"), [("0.0", "-0.0"), ("1", "1.0"), ("1", "true"), ("inf", "nan")])
def test_constants_differ_by_bits_and_kind(left: str, right: str) -> None:
    a, b = (digest(parse(f"graph f()\n  return r[] = {value}\n")) for value in (left, right))
    assert a != b


def test_the_place_of_a_symbol_in_a_size_counts() -> None:
    text = "graph f(x: float[n], y: float[m])\n  %0 = size {} : int\n  return r[] = %0\n"
    assert digest(parse(text.format("n - m"))) != digest(parse(text.format("m - n")))
    assert digest(parse(text.format("n + m"))) == digest(parse(text.format("m + n")))


def test_digests_do_not_change_between_versions() -> None:
    """Stored digests must stay true: a change of the algorithm changes VERSION and this line."""
    assert window() == "64bebb1c13edbbcf5cf7517badea5374"
