"""What `metrics.json` of a run holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.metrics.metrics import LevelMetrics


@dataclass(frozen=True)
class ModelSummary:
    """What was trained, for the tables that compare it with others.

    Attributes:
        name: The name of the network or of the learner.
        features: The features that it takes.
        num_parameters: Its weights, trained or not; None where a learner has none that could be counted.
        train_duration_s: Seconds that it was trained, over all starts.
        hyperparameters: Those of a classical learner; None for networks, whose settings are in `config.yaml`.
    """

    name: str
    features: tuple[str, ...]
    num_parameters: int | None
    train_duration_s: float
    hyperparameters: Mapping[str, float] | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelSummary":
        """Returns what `asdict` made a dict of.

        Raises:
            KeyError, TypeError: It is no such dict.
        """
        return cls(**{**content, "features": tuple(content["features"])})


@dataclass(frozen=True)
class RunMetrics:
    """What `metrics.json` of a run holds.

    Attributes:
        labels: The genres; per-class metrics and confusion matrices are in their order.
        split_source: Who made the splits.
        split_leak: Why scores on them may be too high, or None.
        model: What was trained.
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
        """Returns what `metrics.json` says.

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
    """Returns what `metrics.json` holds for a split."""
    return {level: metrics.to_json() for level, metrics in levels.items()}


def metrics_from_json(content: Mapping[str, Mapping[str, Any]]) -> dict[str, LevelMetrics]:
    """Returns what `metrics_to_json` made a dict of."""
    return {level: LevelMetrics.from_json(metrics) for level, metrics in content.items()}
