"""From a folder of mp3s to a trained music genre classifier, in Python.

Examples:
    >>> import beamtune
    >>> data = beamtune.prepare(dataset={"folder": {"root": "music"}}, output_dir="prepared", shards={"min_shards": 2})
    >>> classifier = beamtune.train(data_dir=data.path, run_dir="run", epochs=3)
    >>> classifier.predict("song.mp3").label in classifier.labels
    True

Importing this package imports neither TensorFlow nor Beam: a function imports what it needs when it is first called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beam_pipelines.audio.decode import AudioError
    from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
    from beamtune.classifier import Classifier, Embedding, FailedPrediction, Prediction, load
    from beamtune.command_functions import evaluate, prepare, quick, train
    from beamtune.prepared_dataset import PreparedDataset, open_prepared
    from beamtune.split_metrics import SplitMetrics

    __version__: str

__all__ = [
    "AudioError",
    "Classifier",
    "Embedding",
    "FailedPrediction",
    "Prediction",
    "PreparedDataset",
    "RunAgainError",
    "RunFailedError",
    "SplitMetrics",
    "UserError",
    "__version__",
    "evaluate",
    "load",
    "open_prepared",
    "prepare",
    "quick",
    "train",
]

_MODULES = {
    "AudioError": "beam_pipelines.audio.decode",
    "Classifier": "beamtune.classifier",
    "Embedding": "beamtune.classifier",
    "FailedPrediction": "beamtune.classifier",
    "Prediction": "beamtune.classifier",
    "PreparedDataset": "beamtune.prepared_dataset",
    "RunAgainError": "beam_pipelines.common.errors",
    "RunFailedError": "beam_pipelines.common.errors",
    "SplitMetrics": "beamtune.split_metrics",
    "UserError": "beam_pipelines.common.errors",
    "evaluate": "beamtune.command_functions",
    "load": "beamtune.classifier",
    "open_prepared": "beamtune.prepared_dataset",
    "prepare": "beamtune.command_functions",
    "quick": "beamtune.command_functions",
    "train": "beamtune.command_functions",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from beam_pipelines.common.package_builds import beamtune_version

        value: Any = beamtune_version()
    elif name in _MODULES:
        from beam_pipelines.common.extras import naming_missing_extras

        import_module("trainer")  # sets TensorFlow's log level, which is read when TensorFlow is imported first
        with naming_missing_extras():
            value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
