"""The YAML block at the top of a model card.

The format is that of the Hugging Face hub (https://huggingface.co/docs/hub/model-cards,
https://github.com/huggingface/hub-docs/blob/main/modelcard.md). Its `model-index` has no place for intervals: they are
in `args` of each metric, which the hub keeps as they are.
"""

import re
from typing import Any

import yaml

from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics
from trainer.metrics.score_tables import split_title
from trainer.model_card.facts import RunFacts

_TASK = "audio-classification"
# The hub's names of metrics, and the names of ours.
_METRICS = (("accuracy", "accuracy"), ("f1", "macro_f1"))
_TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


def front_matter(facts: RunFacts) -> str:
    """Returns the block with its first and last line, ---.

    The licence is "unknown", the hub's word for a model whose licence nobody has stated.
    """
    content: dict[str, Any] = {
        "license": "unknown",
        "library_name": "beamtune",
        "pipeline_tag": _TASK,
        "tags": ["audio", "music", "music-genre-classification", "beamtune", "tensorflow", "keras"],
        "metrics": [name for name, _ in _METRICS],
    }
    results = _results(facts)
    if results:
        content["model-index"] = [{"name": model_name(facts), "results": results}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n"


def model_name(facts: RunFacts) -> str:
    """Returns the name of the model and of its data, on one line."""
    return one_line(f"{facts.model_config.name} on {facts.data.info.name}")


def one_line(text: str) -> str:
    """Returns text with every white space, also that of line ends, as one space."""
    return " ".join(text.split())


def _results(facts: RunFacts) -> list[dict[str, Any]]:
    name, leak = facts.data.info.name, facts.data.stats.split_leak
    return [
        {
            "task": {"type": _TASK, "name": "music genre classification"},
            "dataset": {
                "type": re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed",
                "name": split_title(one_line(name), leak),
                "split": split,
                "revision": facts.data.cache_key,
            },
            "metrics": [
                _metric(levels[level], level=level, kind=kind, metric=metric)
                for level in (TRACK, SEGMENT)
                for kind, metric in _METRICS
            ],
        }
        for split, levels in facts.levels.items()
    ]


def _metric(metrics: LevelMetrics, *, level: str, kind: str, metric: str) -> dict[str, Any]:
    args: dict[str, Any] = {"level": level, "num_examples": metrics.num_examples}
    interval = (metrics.intervals or {}).get(metric)
    if interval is not None:
        args["confidence_interval_95"] = [_rounded(interval.low), _rounded(interval.high)]
    return {
        "type": kind,
        "value": _rounded(getattr(metrics, metric)),
        "name": f"{_TITLES[metric]} of {level}s",
        "args": args,
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)
