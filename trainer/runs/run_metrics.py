"""`metrics.json` of a run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.metrics.level_metrics import LevelMetrics

# The split in `metrics.json` of a run whose model is fitted on all tracks: each is predicted by the model of the fold
# that does not have it.
OUT_OF_FOLD = "out_of_fold"


@dataclass(frozen=True)
class ModelSummary:
    """The model of a run, for tables that compare runs.

    Attributes:
        name: The name of the network or of the learner.
        features: The features that it takes.
        num_parameters: Number of weights, trainable or not; None for learners without countable weights.
        train_duration_s: Seconds of training, over all starts.
        hyperparameters: Hyperparameters of a classical learner; None for networks, whose settings are in `config.yaml`.
    """

    name: str
    features: tuple[str, ...]
    num_parameters: int | None
    train_duration_s: float
    hyperparameters: Mapping[str, float] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelSummary":
        """Inverse of `asdict`.

        Raises:
            KeyError, TypeError, ValueError: The dict has other keys, or no numbers.
        """
        count, duration_s = content["num_parameters"], float(content["train_duration_s"])
        if not math.isfinite(duration_s):
            raise ValueError(f"train_duration_s={duration_s}")
        numbers = {"num_parameters": None if count is None else int(count), "train_duration_s": duration_s}
        return cls(**{**content, **numbers, "features": tuple(content["features"])})


@dataclass(frozen=True)
class RunMetrics:
    """The content of `metrics.json`.

    Attributes:
        labels: The genres; per-class metrics and confusion matrices are in their order.
        split_source: How the splits were made, such as "group".
        split_leak: Why scores on the splits may be too high, or None.
        model: The model.
        levels: The metrics by split and level.
    """

    labels: tuple[str, ...]
    split_source: str
    split_leak: str | None
    model: ModelSummary
    levels: Mapping[str, Mapping[str, LevelMetrics]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Returns the text of `metrics.json`."""
        content = {
            **{split: metrics_to_json(levels) for split, levels in self.levels.items()},
            "labels": self.labels,
            "split": {"source": self.split_source, "leak": self.split_leak},
            "model": asdict(self.model),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RunMetrics":
        """Parses the text of `metrics.json`.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: It is damaged.
        """
        content = json.loads(text)
        labels, split, model = (content.pop(name) for name in ("labels", "split", "model"))
        return cls(
            labels=tuple(labels),
            split_source=split["source"],
            split_leak=split["leak"],
            model=ModelSummary.from_json(model),
            levels={split: metrics_from_json(levels) for split, levels in content.items()},
        )


def metrics_to_json(levels: Mapping[str, LevelMetrics]) -> dict[str, dict[str, object]]:
    """Returns the entry of a split in `metrics.json`."""
    return {level: metrics.to_json() for level, metrics in levels.items()}


def metrics_from_json(content: Mapping[str, Mapping[str, Any]]) -> dict[str, LevelMetrics]:
    """Inverse of `metrics_to_json`."""
    return {level: LevelMetrics.from_json(metrics) for level, metrics in content.items()}
