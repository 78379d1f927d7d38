"""What is made of times, what memory is counted, how the chart and the table say it."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from archc.bench import chart, measure, table
from archc.bench.run import means

ROW = {"name": "RMSNorm", "family": "norm", "size": "medium", "ours": "archc cpp", "limit": "copy",
       "left_out": {"timm": "differs"},
       "forward": {"ms": {"archc cpp": [1, 1, 1], "inductor": [2, 2, 2], "limit": [0.5, 0.5, 0.5]},
                   "times": {"archc cpp": [1, 1, 1], "inductor": [2, 2, 2], "limit": [0.5, 0.5, 0.5]}},
       "step": {"ms": {"archc cpp": [1, 1, 1], "inductor": [8, 8, 8]}, "times": {"archc cpp": [1, 1, 1], "inductor": [8, 8, 8]}}}
OTHER = {**ROW, "name": "a < b", "step": {"ms": {}, "times": {"archc cpp": [1, 1, 1], "inductor": [2, 2, 2]}}}


def test_columns_are_sampled_in_turn() -> None:
    order: list[str] = []
    samples = measure.measure({name: lambda name=name: order.append(name) for name in "ab"}, 0.001)  # type: ignore[misc]
    assert len(samples["a"]) == len(samples["b"]) >= measure.ROUNDS
    assert {"a", "b"} == set(order[-len(order) // 4:])


def test_a_slow_column_takes_part_in_the_first_rounds_alone() -> None:
    import time

    samples = measure.measure({"slow": lambda: time.sleep(0.03), "fast": lambda: None}, 0.05)
    assert len(samples["slow"]) == measure.FEW and len(samples["fast"]) >= measure.ROUNDS


def test_ratios_are_of_rounds_not_of_medians() -> None:
    assert measure.times([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == (2.0, 2.0, 2.0)
    assert measure.geometric_mean([2.0, 8.0]) == pytest.approx(4.0) and math.isnan(measure.geometric_mean([]))


def test_a_column_that_was_left_out_is_in_no_mean() -> None:
    found = means([ROW, OTHER, {"failed": "no result in 600 s"}])
    assert found["step"]["inductor"] == {"mean": pytest.approx(4.0), "least": 2.0, "rows": 2}
    assert "timm" not in found["step"] and "archc cpp" not in found["forward"]


COUNTED = """
import torch
from archc.bench import memory
memory.whole_blocks()
def call():
    kept = []
    for size in range(1, 33):  # each would fit in no hole that the ones before left
        block = torch.ones(size * 2**18)
        kept.append(block[:1].clone())
        del block
call()
print(memory.peak(call))
"""


def test_memory_is_that_of_the_call_without_holes() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    if done.stdout.strip() == "None":
        pytest.skip("this system does not keep the highest resident size")
    assert 32 * 2**20 * 0.95 < int(done.stdout) < 32 * 2**20 * 1.2


def test_the_chart_is_drawn_and_says_its_means() -> None:
    found = {"rows": [ROW, OTHER, {"name": "gone", "failed": "no result"}], "means": means([ROW, OTHER])}
    text = chart.drawn(found)
    root = ET.fromstring(text)
    shapes = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert shapes.count("rect") == 1 + 2 * 2 and "training step 4.0 times as fast" in text and "prefers-color-scheme" in text
    assert "a &lt; b" in text and "gone" not in text
    right = float(re.match(r"0 0 (\d+)", root.attrib["viewBox"])[1])  # type: ignore[index]
    assert all(0 <= float(element.attrib["x"]) <= right for element in root.iter() if "x" in element.attrib)


def test_the_table_says_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    table.show({"rows": [ROW, {"name": "gone", "size": "", "failed": "no result in 600 s"}], "means": means([ROW])})
    out = capsys.readouterr().out
    assert "2.00 (2.00)" in out and "RMSNorm medium: timm differs" in out and "gone: no result in 600 s" in out
    assert "step: 8.00 times as fast as inductor in geometric mean of 1 row" in out
