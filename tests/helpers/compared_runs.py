"""What `beamtune compare` compares in tests, and its output."""

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from trainer.compare.compare import compare
from trainer.compare.config import CompareConfig
from trainer.metrics.level_metrics import COUNTED_METRICS, LEVELS
from trainer.runs.run_metrics import ModelSummary
from trainer.training.config import TrainConfig

LEAK = "tracks were split | at random"
CNN = ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=12_345, train_duration_s=75.0)
SVM = ModelSummary(name="svm", features=("yamnet", "spectral_stats"), num_parameters=None, train_duration_s=0.25)

MakeRun = Callable[..., str]


def crossval_json(**changes: Any) -> dict[str, Any]:
    scores = {level: dict.fromkeys(COUNTED_METRICS, 0.625) for level in LEVELS}
    content = {
        "kind": "crossval",
        "model": asdict(replace(CNN, name="crnn", num_parameters=99)),
        "data": {"name": "tiny", "fingerprint": "fedcba9876543210"},
        "split": {"source": "folds", "leak": None},
        "folds": 5,
        "seeds": [0, 1, 2],
        "runs": [],
        "settings": {"data_dir": "data", "output_dir": "folds", "folds": 5, "epochs": TrainConfig.epochs},
        "mean": scores,
        "sd": {level: dict.fromkeys(COUNTED_METRICS, 0.125) for level in LEVELS},
        "pooled": {},
        "finished": True,
    }
    return {**content, **changes}


def compared(paths: list[str], **options: Any) -> str:
    stream = io.StringIO()
    compare(paths, config=CompareConfig(**options), stream=stream)
    return stream.getvalue()


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip().split("  ") if cell.strip()] for line in text.splitlines()]
