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


@pytest.mark.parametrize(("one", "other"), [
    ("%0 = sqrt 4.0 : float", "%0 = add 1.5, 0.5 : float"),
    ("%1 = size n : int\n %2 = mul %1, 2 : int\n %0 = to_float %2 : float", "%1 = size 2*n : int\n %0 = to_float %1 : float"),
    ("%1 = iota n : int[n]\n %2 = read %x[n = %1 fill] else 1.0 : float[n]\n %0 = sum[n] %2 : float", "%0 = sum[n] %x : float"),
    ("%1 = to_float %x : float[n]\n %0 = sum[n] %1 : float", "%0 = sum[n] %x : float"),
    ("%1 = positive %x : float[n]\n %0 = sum[n] %1 : float",
     "%1 = eq %x, 0.0 : bool[n]\n %2 = where %1, 1.0, %x : float[n]\n %0 = sum[n] %2 : float"),
])
def test_two_ways_of_saying_one_thing(one: str, other: str) -> None:
    text = "graph f(x: float[n])\n {}\n return r[] = %0\n"
    assert digest(parse(text.format(one))) == digest(parse(text.format(other)))


def test_a_check_that_another_implies_does_not_count() -> None:
    text = """graph f(x: float[c], y: float[d])
      axis k = (d // 2)
      %0 = iota k : int[k]
      return r[k] = %0
      {}
      require {} "" """
    exact = 'require d == 2*(d // 2) ""'
    implied = digest(parse(text.format(exact, "d >= 2*(d // 2)")))
    assert implied == digest(parse(text.format(exact, "(d // 2) >= ((d - 1) // 2) + 1")))
    assert digest(parse(text.format(exact, "d >= 2*(d // 2) + 1"))) != digest(parse(text.format(exact, "d >= 2*(d // 2)")))
    assert digest(parse(text.format("", "d >= 2*(d // 2)"))) != digest(parse(text.format("", "d >= c")))


def test_digests_do_not_change_between_versions() -> None:
    """Stored digests must stay true: a change of the algorithm changes VERSION and this line."""
    assert window() == "06e4676787836f3cedce9dd0aa33358e"
