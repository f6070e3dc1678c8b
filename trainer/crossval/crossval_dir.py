"""The directory of a cross-validation: its settings, folds, runs and results."""

from dataclasses import asdict
from typing import Any

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.common.saved_settings import describe_differences
from beam_pipelines.records.schema import TEST
from trainer.common import files
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.file_names import RESULT_FILE, SETTINGS_FILE
from trainer.crossval.results import ScoredRun
from trainer.runs.prediction_files import predictions_path, read_predictions
from trainer.runs.run_dir import RunDir
from trainer.training.config import KEYS_THAT_MAY_DIFFER

# Seeds may be added, because each seed has runs of its own; the other settings do not change results.
_KEYS_THAT_MAY_DIFFER = KEYS_THAT_MAY_DIFFER | {"output_dir", "seeds", "keep_folds", "baselines.storage."}


class CrossvalDir:
    """A cross-validation on disk, local or gs://."""

    def __init__(self, config: CrossvalConfig) -> None:
        self._config = config
        self.path = config.output_dir

    def check(self, *, source_cache_key: str) -> None:
        """Checks that the directory is empty or holds a cross-validation with the same settings.

        Args:
            source_cache_key: The cache key of the data set that is divided into folds.

        Raises:
            UserError: It contains something else.
        """
        path = files.join(self.path, SETTINGS_FILE)
        settings = self._settings(source_cache_key)
        if files.exists(path):
            saved = yaml.safe_load(files.read_text(path))
            if not isinstance(saved, dict):
                raise UserError(f"{path} is damaged: choose another output_dir")
            if saved.get("source_fingerprint") != source_cache_key:
                raise UserError(
                    f"{self._config.data_dir} has changed since output_dir={self.path} was started: choose another "
                    "output_dir"
                )
            differences = describe_differences(
                saved, settings, may_differ=_KEYS_THAT_MAY_DIFFER, defaults_of=self._config
            )
            if differences:
                raise UserError(
                    f"output_dir={self.path} is a cross-validation with other settings ({differences}): choose another "
                    "output_dir"
                )
        elif files.exists(self.path) and (
            not files.is_dir(self.path) or set(files.list_dir(self.path)) - set(LEASE_FILES)
        ):
            raise UserError(
                f"output_dir={self.path} is not empty and is not a cross-validation: choose another output_dir"
            )

    def start(self, *, source_cache_key: str) -> None:
        """Checks the directory as `check` does, and writes the settings.

        Raises:
            UserError: The directory contains something else, or cannot be written.
        """
        self.check(source_cache_key=source_cache_key)
        path, settings = files.join(self.path, SETTINGS_FILE), self._settings(source_cache_key)
        try:
            files.make_dirs(self.path)
            files.write_text(path, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
        except files.FileError as error:
            raise UserError(f"output_dir={self.path} cannot be written: {error.message}") from error

    def _settings(self, source_cache_key: str) -> dict[str, Any]:
        return {**asdict(self._config), "source_fingerprint": source_cache_key}

    def fold_dir(self, fold: int) -> str:
        """Returns the directory of a fold's data."""
        folds_dir = files.join(self.path, "folds") if self._config.folds_dir is None else self._config.folds_dir
        return files.join(folds_dir, f"fold-{fold}")

    def run_dir(self, fold: int, seed: int) -> str:
        """Returns the directory of the run, or of the runs of all learners, of a fold and a seed."""
        return files.join(self.path, _run_folder(fold, seed))

    def scored_run(self, fold: int, seed: int, *, result_name: str) -> ScoredRun | None:
        """Returns a run that is trained and evaluated, or None if it is not finished.

        Args:
            fold: The fold that it is tested on.
            seed: Its seed.
            result_name: The name of the learner, its folder below `run_dir`; "" for a network.

        Raises:
            UserError: A file of the run is damaged.
        """
        run = RunDir(files.join(self.run_dir(fold, seed), result_name) if result_name else self.run_dir(fold, seed))
        metrics = run.metrics() if run.is_finished() else None
        if metrics is None or TEST not in metrics.levels or not files.exists(predictions_path(run, TEST)):
            return None
        tracks, _ = read_predictions(run, TEST)
        folder = f"../{_run_folder(fold, seed)}/{result_name}" if result_name else _run_folder(fold, seed)
        return ScoredRun(fold=fold, seed=seed, run_dir=folder, metrics=metrics, tracks=tracks)

    def write_result(self, text: str, *, result_name: str) -> None:
        """Writes `crossval.json` in the folder `result_name`, or in the directory itself if that is empty."""
        folder = files.join(self.path, result_name) if result_name else self.path
        files.make_dirs(folder)
        files.write_text(files.join(folder, RESULT_FILE), text)


def _run_folder(fold: int, seed: int) -> str:
    return f"runs/fold-{fold}-seed-{seed}"
