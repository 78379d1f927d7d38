"""Settings and schedules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from archc.train.checkpoint import pack, unpack
from archc.train.errors import TrainError
from archc.train.optimizers import learning_rate
from archc.train.progress import duration
from archc.train.settings import Settings, check

PLAIN = Settings("a.arch", "A", "digits", lr=1.0)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"optimizer": "adamx"}, "--optimizer must be one of adam, adamw, rmsprop, sgd, lbfgs, not 'adamx'"),
    ({"epochs": 1, "steps": 1}, "give --epochs or --steps, not both"),
    ({"epochs": 0}, "--epochs and --steps must be at least 1"),
    ({"steps": -1}, "--epochs and --steps must be at least 1"),
    ({"batch": 0}, "--batch must be at least 1, not 0"),
    ({"lr": 0.0}, "--lr must be above 0, not 0.0"),
    ({"lr": float("nan")}, "--lr must be above 0, not nan"),
    ({"nesterov": True}, "--nesterov goes with --optimizer sgd and a momentum above 0"),
    ({"momentum": 1.0}, "--momentum must be from 0 to below 1, not 1.0"),
    ({"clip": 0.0}, "--clip must be above 0, not 0.0"),
    ({"warmup": 1.0}, "--warmup is a share of the steps, from 0 to below 1, not 1.0"),
    ({"seed": -1}, "--seed must be from 0 to 2^63 - 1, not -1"),
    ({"backend": "tpu"}, "--backend must be one of auto, torch, cpp, not 'tpu'"),
    ({"test": 1.0}, "--validation and --test are shares of the examples, between 0 and 1"),
])
def test_settings_that_cannot_be(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrainError) as caught:
        check(replace(PLAIN, **change))
    assert str(caught.value) == sentence


def test_settings_survive_json() -> None:
    import json

    wanted = replace(PLAIN, static={"order": 3}, arguments={"c": 64}, skip=("a", "b"), clip=1.0, device="cuda", backend="cpp")
    assert Settings.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted
    with pytest.raises(TrainError, match="another version of archc: it has the setting 'colour'"):
        Settings.from_json({"colour": 1})


def test_schedules() -> None:
    assert [learning_rate(replace(PLAIN, schedule="constant"), s, 4) for s in range(4)] == [1, 1, 1, 1]
    assert [learning_rate(replace(PLAIN, schedule="linear"), s, 4) for s in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [round(learning_rate(PLAIN, s, 4), 4) for s in range(4)] == [1, 0.8536, 0.5, 0.1464]
    warm = replace(PLAIN, schedule="linear", warmup=0.5)
    assert [learning_rate(warm, s, 8) for s in range(8)] == [0.2, 0.4, 0.6, 0.8, 1, 0.75, 0.5, 0.25]


def test_durations() -> None:
    assert [duration(s) for s in (-1, 0.4, 59.6, 3599, 3600, 36061)] == ["0:00", "0:00", "1:00", "59:59", "1:00:00", "10:01:01"]


def test_nested_state_survives_packing() -> None:
    import json

    import torch

    state = {"a": {0: {"x": torch.ones(2), "n": 3}, 1: {}}, "b": [torch.zeros(1), None, 1e-300], "c": float("inf"), "d": "text"}
    tensors: dict[str, torch.Tensor] = {}
    packed = {key: pack(value, key, tensors) for key, value in state.items()}
    again = {key: unpack(value, tensors) for key, value in json.loads(json.dumps(packed)).items()}
    assert set(tensors) == {"a.0.x", "b.0"} and again["a"][0]["n"] == 3 and again["a"][1] == {}
    assert torch.equal(again["a"][0]["x"], torch.ones(2)) and again["b"][1:] == [None, 1e-300]
    assert (again["c"], again["d"]) == (float("inf"), "text")
