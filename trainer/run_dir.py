"""The directory of a run: what it was told, what it was trained on, and what came out."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import tensorflow as tf
import yaml

from beam_pipelines.errors import UserError
from beam_pipelines.records import schema
from trainer import files
from trainer.checkpoints import BEST, find_checkpoint
from trainer.config import EvaluateConfig, TrainConfig
from trainer.dataset_dir import PreparedData, copy_metadata, open_prepared

_CONFIG_FILE = "config.yaml"
_METRICS_FILE = "metrics.json"
_FINISHED_FILE = "_SUCCESS"

# Where a run is, and how often it is saved, may change from one start to the next; all else decides what comes out.
_KEYS_THAT_MAY_DIFFER = frozenset({"run_dir", "checkpoint_interval_s"})


class RunDir:
    """One run on disk, local or gs://. `config.yaml` is written when all else that a run starts with is there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.dataset_dir = files.join(path, "dataset")
        self.checkpoint_dir = files.join(path, "checkpoints")
        self.train_events_dir = files.join(path, "train")
        self.validation_events_dir = files.join(path, "validation")

    def is_started(self) -> bool:
        """Returns whether a run was ever started here."""
        return files.exists(files.join(self.path, _CONFIG_FILE))

    def is_finished(self) -> bool:
        """Returns whether the run came to its end."""
        return files.exists(files.join(self.path, _FINISHED_FILE))

    def start(self, config: TrainConfig, data: PreparedData) -> None:
        """Writes what a run starts with.

        Raises:
            UserError: The directory cannot be written.
        """
        try:
            tf.io.gfile.makedirs(self.path)
            copy_metadata(data, to=self.dataset_dir)
            self._write_settings(_CONFIG_FILE, config)
        except tf.errors.OpError as error:
            raise UserError(f"run_dir={self.path} cannot be written: {error.message}") from error

    def check_same_config(self, config: TrainConfig) -> None:
        """Checks that the run was started with the same settings.

        Raises:
            UserError: Some differ.
        """
        wanted = yaml.safe_load(yaml.safe_dump(asdict(config)))
        differences = [
            line for key, line in differing_settings(self.config(), wanted).items() if key not in _KEYS_THAT_MAY_DIFFER
        ]
        if differences:
            raise UserError(
                f"run_dir={self.path} is a run with other settings ({'; '.join(differences)}): choose another run_dir"
            )

    def check_same_data(self, data: PreparedData) -> None:
        """Checks that the data are still those that the run was started with.

        Raises:
            UserError: They were prepared again, differently.
        """
        if self.dataset().fingerprint != data.fingerprint:
            raise UserError(
                f"{data.path} was prepared again, differently, since run_dir={self.path} was started: "
                "choose another run_dir"
            )

    def config(self) -> dict[str, Any]:
        """Returns the settings as `config.yaml` has them.

        Raises:
            UserError: There is no run here.
        """
        if not self.is_started():
            raise UserError(f"{self.path} holds no training run: train one with run_dir={self.path}")
        config = yaml.safe_load(files.read_text(files.join(self.path, _CONFIG_FILE)))
        if not isinstance(config, dict):
            raise UserError(f"{files.join(self.path, _CONFIG_FILE)} is damaged: choose another run_dir")
        return config

    def dataset(self) -> PreparedData:
        """Returns what the run keeps of its data set."""
        return open_prepared(self.dataset_dir)

    def prepare_yaml(self) -> str:
        """Returns the text that describes how the data were prepared."""
        return files.read_text(files.join(self.dataset_dir, schema.CONFIG_FILE))

    def best_checkpoint(self) -> str:
        """Returns the path of the best checkpoint.

        Raises:
            UserError: There is no run here, or it has none yet.
        """
        self.config()
        path = find_checkpoint(self.checkpoint_dir, BEST)
        if path is None:
            raise UserError(f"{self.path} has no checkpoint yet: train with run_dir={self.path} for at least one epoch")
        return path

    def metrics(self) -> dict[str, Any]:
        """Returns what `metrics.json` holds: {split: {level: {metric: value}}} and "labels"; empty without one."""
        path = files.join(self.path, _METRICS_FILE)
        return json.loads(files.read_text(path)) if files.exists(path) else {}

    def save_evaluation(self, config: EvaluateConfig) -> None:
        """Writes what an evaluation was told into `evaluate-<split>.yaml`."""
        self._write_settings(f"evaluate-{config.split}.yaml", config)

    def _write_settings(self, name: str, config: TrainConfig | EvaluateConfig) -> None:
        text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
        files.write_text(files.join(self.path, name), text)

    def merge_metrics(self, split: str, levels: Mapping[str, Mapping[str, object]], *, data: PreparedData) -> None:
        """Writes the metrics of a split into `metrics.json`, beside those of other splits, and who made the splits."""
        made_by = {"source": data.stats.split_source, "leak": data.stats.split_leak}
        metrics = {**self.metrics(), split: levels, "labels": list(data.labels), "split": made_by}
        files.write_text(files.join(self.path, _METRICS_FILE), json.dumps(metrics, indent=2, ensure_ascii=False) + "\n")

    def mark_finished(self) -> None:
        """Says that the run came to its end; the last thing that a run does."""
        files.write_text(files.join(self.path, _FINISHED_FILE), "")


def differing_settings(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Returns by key what differs between two configurations: {"optimizer.learning_rate": "… was 0.1 and is 0.2"}."""
    before, now = _flatten(saved), _flatten(wanted)
    return {
        key: f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
