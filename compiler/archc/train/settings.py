"""Everything that decides a run's numbers, and nothing else: two runs with equal settings have equal curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from archc.train.data.dataset import Reading, Task
from archc.train.data.split import Scale
from archc.train.errors import TrainError

OPTIMIZERS = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 0.05, "lbfgs": 1.0}  # name: default learning rate
BACKENDS = ("auto", "torch", "cpp")  # of `archc.load`
SCHEDULES = ("constant", "cosine", "linear")
Number = bool | int | float


@dataclass(frozen=True)
class Settings:
    file: str
    layer: str
    data: str
    static: Mapping[str, object] = field(default_factory=dict)  # --set: choices fixed when compiling
    arguments: Mapping[str, Number] = field(default_factory=dict)  # --arg: of the layer's constructor
    loss: str | None = None  # None: cross_entropy for classes, mse for values
    optimizer: str = "adamw"
    lr: float | None = None  # None: the optimizer's own of OPTIMIZERS
    momentum: float = 0.9  # of sgd and rmsprop
    nesterov: bool = False
    weight_decay: float = 0.0
    clip: float | None = None  # the largest norm of all gradients together
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    warmup: float = 0.0  # the share of the steps in which the learning rate rises
    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"  # by torch's name: cuda, cuda:1, mps
    backend: Literal["auto", "torch", "cpp"] = "auto"
    validation: float = 0.1
    test: float = 0.2
    scale: Scale | None = None  # None: images as they are, everything else standardised
    keep: Literal["last", "best"] = "last"  # the weights to test and store; best: by validation loss
    target: str | None = None
    input: str | None = None
    task: Task | None = None
    skip: tuple[str, ...] = ()

    @property
    def learning_rate(self) -> float:
        return OPTIMIZERS[self.optimizer] if self.lr is None else self.lr

    @property
    def reading(self) -> Reading:
        return Reading(self.target, self.input, self.task, self.skip)

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, object]) -> Settings:
        """Raises TrainError if they are of another version of archc."""
        if unknown := values.keys() - {f.name for f in fields(Settings)}:
            raise TrainError(f"the run was made by another version of archc: it has the setting '{min(unknown)}'")
        skip = values.get("skip", ())
        return Settings(**{**values, "skip": tuple(skip)})  # type: ignore[arg-type]


def check(settings: Settings) -> None:
    """Raises TrainError for a setting that cannot be, in the words of the command line."""
    s = settings

    def need(holds: bool, sentence: str) -> None:
        if not holds:
            raise TrainError(sentence)

    need(s.optimizer in OPTIMIZERS, f"--optimizer must be one of {', '.join(OPTIMIZERS)}, not '{s.optimizer}'")
    need(s.schedule in SCHEDULES, f"--schedule must be one of {', '.join(SCHEDULES)}, not '{s.schedule}'")
    need(s.epochs is None or s.steps is None, "give --epochs or --steps, not both")
    need(all(number is None or number > 0 for number in (s.epochs, s.steps)), "--epochs and --steps must be at least 1")
    need(s.batch >= 1, f"--batch must be at least 1, not {s.batch}")
    need(0 < s.learning_rate < float("inf"), f"--lr must be above 0, not {s.lr}")
    need(0 <= s.momentum < 1, f"--momentum must be from 0 to below 1, not {s.momentum}")
    need(not s.nesterov or (s.optimizer == "sgd" and s.momentum > 0),
         "--nesterov goes with --optimizer sgd and a momentum above 0")
    need(s.weight_decay >= 0, f"--weight-decay must not be negative: {s.weight_decay}")
    need(s.weight_decay == 0 or s.optimizer != "lbfgs", "lbfgs has no weight decay")
    need(s.clip is None or s.clip > 0, f"--clip must be above 0, not {s.clip}")
    need(0 <= s.warmup < 1, f"--warmup is a share of the steps, from 0 to below 1, not {s.warmup}")
    need(s.threads is None or s.threads >= 1, f"--threads must be at least 1, not {s.threads}")
    need(s.backend in BACKENDS, f"--backend must be one of {', '.join(BACKENDS)}, not '{s.backend}'")
    need(0 <= s.seed < 2**63, f"--seed must be from 0 to 2^63 - 1, not {s.seed}")
    need(0 < s.validation < 1 and 0 < s.test < 1, "--validation and --test are shares of the examples, between 0 and 1")
