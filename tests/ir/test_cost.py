"""The cost model counts what a person would count."""

from __future__ import annotations

from archc.ir.cost import graph_work, least_traffic
from archc.ir.text import parse

SIZES = {"n": 3, "i": 4, "o": 5, "t": 6}


def test_a_matrix_product() -> None:
    graph = parse("""graph f(x: float[n, i], w: float[o, i])
      %0 = mul %x, %w : float[n, o, i]
      %1 = sum[i] %0 : float[n, o]
      return r[n, o] = %1""")
    assert str(graph_work(graph).flops) == "2*i*n*o"
    assert least_traffic(graph).evaluate(SIZES) == {"flops": 0, "special": 0, "read": 4 * (12 + 20), "written": 4 * 15}
    assert graph_work(graph).evaluate(SIZES)["written"] == 4 * (60 + 15)
    assert graph_work(graph, float_bytes=8).evaluate(SIZES)["written"] == 8 * (60 + 15)


def test_special_functions_and_views() -> None:
    graph = parse("""graph f(x: float[n, i], k: bool[n])
      %0 = exp %x : float[n, i]
      %1 = where %k, %0, 0.0 : float[n, i]
      %2 = expand[o] %1 : float[n, i, o]
      axis o = 5
      return r[n, i, o] = %2""")
    work = graph_work(graph).evaluate(SIZES)
    assert (work["special"], work["flops"]) == (12, 12)
    assert work["read"] == 48 + (48 + 3 + 4)
    assert least_traffic(graph).evaluate(SIZES)["written"] == 4 * 60


def test_a_loop_is_its_step_times_its_length() -> None:
    graph = parse("""graph f(x: float[n, t], start: float[n])
      loop $0 along t states 1 sequences 1 {
        graph step(s: float[n], x: float[n])
          %0 = add %s, %x : float[n]
          return out[n] = %0
      }
      %0 = scan $0 %start, %x : float
      %1 = item 0 %0 : float[n]
      return r[n] = %1""")
    assert str(graph_work(graph).flops) == "n*t"
