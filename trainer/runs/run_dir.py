"""The directory of a run: its settings, the metadata of its data set, checkpoints, events and metrics."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES, UPDATE_LEASE_FILE, holding
from beam_pipelines.common.saved_settings import describe_differences
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import BandStats
from trainer.common import files
from trainer.data.prepared import PreparedData, copy_metadata, open_prepared, read_prepare_yaml
from trainer.metrics.level_metrics import LevelMetrics
from trainer.models.std_floors import with_relative_floors
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.run_metrics import OUT_OF_FOLD, ModelSummary, RunMetrics

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"
_FINISHED_FILE = "_SUCCESS"
# Runs of beamtune 0.1.0 do not have it: their models divide by at least `trainer.models.layers.STD_FLOOR`.
_STANDARDIZATION_FILE = "standardization.yaml"
# In a run of a cluster; see `trainer.runs.restarts`.
STARTS_FILE = "starts.json"
# The files of a split beside its part of metrics.json; their names contain that of the split.
PREDICTIONS_FILE, EVALUATION_FILE = "predictions-{}.csv", "evaluate-{}.yaml"
_STARTED_NAMES = ("dataset", _STANDARDIZATION_FILE, STARTS_FILE, *LEASE_FILES)
# How long another command may take to update metrics.json.
_UPDATE_WAIT_S = 60.0


class RunDir:
    """One run, local or gs://. `config.yaml` is the last file that is written when a run starts."""

    def __init__(self, path: str, *, key: str = "run_dir") -> None:
        """Reads and writes no files yet.

        Args:
            path: The directory, which need not exist.
            key: The setting that names it, for error messages.
        """
        self.path = path
        self._key = key
        self.dataset_dir = files.join(path, "dataset")
        self.checkpoint_dir = files.join(path, "checkpoints")
        self.train_events_dir = files.join(path, "train")
        self.validation_events_dir = files.join(path, "validation")
        # Neither changes once it is written, but by `continue_with`.
        self._config_text: str | None = None
        self._dataset: PreparedData | None = None

    def is_started(self) -> bool:
        """Returns whether the directory holds a run."""
        return files.exists(files.join(self.path, CONFIG_FILE))

    def is_finished(self) -> bool:
        """Returns whether the run is finished."""
        return files.exists(files.join(self.path, _FINISHED_FILE))

    def check_is_empty(self) -> None:
        """Checks that a run may be started here: in a new or empty directory.

        Raises:
            UserError: The directory holds files of the user or of another command.
        """
        if files.exists(self.path) and not files.is_dir(self.path):
            raise UserError(f"{self._key}={self.path} is a file: choose a new or empty folder")
        names = files.list_dir(self.path) if files.exists(self.path) else []
        # A start that was interrupted leaves the metadata of the data set and a temporary file.
        others = [name for name in names if name.rstrip("/") not in _STARTED_NAMES and not name.endswith(".tmp")]
        if others:
            raise UserError(
                f"{self._key}={self.path} is not empty and holds no run ({others[0]}): choose another {self._key}"
            )

    def start(self, config: "DataclassInstance", data: PreparedData, *, has_network: bool = True) -> None:
        """Writes the settings of the run and the metadata of its data set.

        A run that has checkpoints before it is started continues another one, with the standardization of that one.

        Args:
            config: The settings.
            data: The data set.
            has_network: Whether the run trains a network, which standardises features by itself.

        Raises:
            UserError: The directory cannot be written.
        """
        try:
            files.make_dirs(self.path)
            copy_metadata(data, to=self.dataset_dir)
            if has_network and find_checkpoint(self.checkpoint_dir, LAST) is None:
                files.write_text(files.join(self.path, _STANDARDIZATION_FILE), "std_floor: relative\n")
            self.write_settings(CONFIG_FILE, config)
        except files.FileError as error:
            raise UserError(f"{self._key}={self.path} cannot be written: {error.message}") from error

    def continue_with(self, config: "DataclassInstance") -> None:
        """Writes settings with which the run trains longer; if it was finished, it is not any more.

        Raises:
            UserError: The directory cannot be written.
        """
        try:
            # First: a run that is finished with settings for more epochs would not be continued.
            if self.is_finished():
                files.remove(files.join(self.path, _FINISHED_FILE))
            self.write_settings(CONFIG_FILE, config)
        except files.FileError as error:
            raise UserError(f"{self._key}={self.path} cannot be written: {error.message}") from error
        self._config_text = None

    def check_same_config(self, config: "DataclassInstance", *, may_differ: Collection[str]) -> None:
        """Checks that the run was started with the same settings.

        Args:
            config: The settings.
            may_differ: Keys that may differ, as in `describe_differences`.

        Raises:
            UserError: Other settings differ.
        """
        differences = describe_differences(self.config(), asdict(config), may_differ=may_differ, defaults_of=config)
        if differences:
            raise UserError(
                f"{self._key}={self.path} is a run with other settings ({differences}): choose another {self._key}"
            )

    def check_same_order(self, *, cache: bool) -> None:
        """Checks that the examples come in the order in which they came when the run was started.

        Raises:
            UserError: They do not.
        """
        if not cache and self.is_of_first_version():
            raise UserError(
                f"{self._key}={self.path} was started by beamtune 0.1.0 with cache=false, where examples had another "
                f"order: train it again in another {self._key}, or resume it with beamtune 0.1.0"
            )

    def check_same_data(self, data: PreparedData) -> None:
        """Checks that the data set has not changed since the run was started.

        Raises:
            UserError: It was prepared again with other content.
        """
        if self.dataset().cache_key != data.cache_key:
            raise UserError(
                f"{data.path} was prepared again with other content since {self._key}={self.path} was started: "
                f"choose another {self._key}"
            )

    def config(self) -> dict[str, Any]:
        """Returns the content of `config.yaml`.

        Raises:
            UserError: There is no run here, or the file is damaged.
        """
        if self._config_text is None and not self.is_started():
            if not files.exists(self.path):
                raise UserError(f"{self.path} does not exist: expected the {self._key} of beamtune train")
            hint = "train one there first"
            if not files.is_dir(self.path) or files.list_dir(self.path):
                hint = f"expected the {self._key} of beamtune train"
            of_quick = files.join(self.path, "run")
            if files.exists(files.join(of_quick, CONFIG_FILE)):
                hint = f"that of beamtune quick is {of_quick}"
            raise UserError(f"{self.path} holds no training run: {hint}")
        try:
            if self._config_text is None:
                self._config_text = files.read_text(files.join(self.path, CONFIG_FILE))
            config = yaml.safe_load(self._config_text)
        except (yaml.YAMLError, ValueError, RecursionError):  # what is no text, and what PyYAML cannot read
            config = None
        if not isinstance(config, dict):
            raise UserError(f"{files.join(self.path, CONFIG_FILE)} is damaged: choose another run_dir")
        return config

    def dataset(self) -> PreparedData:
        """Returns the metadata of the data set that the run was trained on, from the run's own copy."""
        if self._dataset is None:
            self._dataset = open_prepared(self.dataset_dir)
        return self._dataset

    def is_of_first_version(self) -> bool:
        """Returns whether beamtune 0.1.0 has begun to train the model."""
        has_model = self.is_started() or find_checkpoint(self.checkpoint_dir, LAST) is not None
        return has_model and not files.exists(files.join(self.path, _STANDARDIZATION_FILE))

    def band_stats(self, data: PreparedData) -> Mapping[str, BandStats]:
        """Returns the statistics that the run's model standardises features with.

        Args:
            data: The data set that the run is trained on, or the run's copy of its metadata.
        """
        if self.is_of_first_version():
            return data.stats.features
        return with_relative_floors(data.stats.features, data.specs)

    def copy_standardization(self, *, to: "RunDir") -> None:
        """Makes sure that another run standardises features as this one; called before its checkpoints are copied."""
        path = files.join(self.path, _STANDARDIZATION_FILE)
        if files.exists(path):
            files.make_dirs(to.path)
            files.copy(path, files.join(to.path, _STANDARDIZATION_FILE))

    def prepare_yaml(self) -> PrepareYaml:
        """Returns the settings that the data were prepared with.

        Raises:
            UserError: The run's copy of `prepare.yaml` is missing or damaged.
        """
        return read_prepare_yaml(self.dataset_dir)

    def best_checkpoint(self) -> str:
        """Returns the path of the best checkpoint.

        Raises:
            UserError: There is no run here, it has no checkpoint yet, or it is a run of a classical learner.
        """
        if "learner" in self.config():
            raise UserError(
                f"{self.path} is a run of beamtune baselines, which saves metrics but no weights: see its "
                f"{METRICS_FILE}, or choose a run of beamtune train"
            )
        path = find_checkpoint(self.checkpoint_dir, BEST)
        if path is None:
            raise UserError(f"{self.path} has no checkpoint yet: train with run_dir={self.path} for at least one epoch")
        return path

    def metrics_with(self, split: str) -> RunMetrics:
        """Returns the content of `metrics.json`, which has scores of a split.

        Raises:
            UserError: It is damaged, or has no scores of the split.
        """
        self.check_has_split(split)
        metrics = self.metrics()
        if metrics is None or split not in metrics.levels:
            raise UserError(
                f"{self.path} has no metrics of split {split}: run beamtune evaluate run_dir={self.path} split={split}"
            )
        return metrics

    def check_has_split(self, split: str) -> None:
        """Checks that the run is not one whose model is fitted to all tracks, or that the split is that of such runs.

        Raises:
            UserError: The run has no split.
        """
        metrics = self.metrics()
        if metrics is not None and OUT_OF_FOLD in metrics.levels and split != OUT_OF_FOLD:
            raise UserError(
                f"{self.path} is fitted to all songs, so that there is no split {split}: beamtune compare and beamtune "
                "report take the folder crossval beside it, which has the scores"
            )

    def metrics(self) -> RunMetrics | None:
        """Returns the content of `metrics.json`, or None if it does not exist.

        Raises:
            UserError: It is damaged.
        """
        path = files.join(self.path, METRICS_FILE)
        if not files.exists(path):
            return None
        try:
            return RunMetrics.from_json(files.read_text(path))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path} is damaged ({error!r}): move it away, and evaluate the run on each split again"
            ) from error

    def write_settings(self, name: str, config: "DataclassInstance") -> None:
        """Writes settings as YAML to the file of this name."""
        text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
        files.write_text(files.join(self.path, name), text)

    def merge_metrics(
        self,
        split: str,
        levels: Mapping[str, LevelMetrics],
        *,
        data: PreparedData,
        model: ModelSummary,
        write_others: Callable[[], None] = lambda: None,
    ) -> None:
        """Adds the metrics of a split to `metrics.json`, or replaces them.

        Args:
            split: The name of the split.
            levels: Its metrics by level.
            data: The data set of the run.
            model: The model of the run.
            write_others: Writes the other files of the split, under the same lease: with those of another command, they
                would not belong together.

        Raises:
            UserError: The existing file is damaged, or another command does not finish its update.
        """
        # Another command may evaluate another split at the same time, also while the run is trained.
        with holding(self.path, key=self._key, name=UPDATE_LEASE_FILE, wait_s=_UPDATE_WAIT_S):
            write_others()
            before = self.metrics()
            metrics = RunMetrics(
                labels=data.labels,
                split_source=data.stats.split_source,
                split_leak=data.stats.split_leak,
                model=model,
                levels={**({} if before is None else before.levels), split: levels},
            )
            files.write_text(files.join(self.path, METRICS_FILE), metrics.to_json())

    def remove_metrics(self) -> list[str]:
        """Removes `metrics.json` and the other files of its splits; returns the splits.

        Raises:
            UserError: The file is damaged, or another command does not finish its update.
        """
        with holding(self.path, key=self._key, name=UPDATE_LEASE_FILE, wait_s=_UPDATE_WAIT_S):
            before = self.metrics()
            splits = [] if before is None else list(before.levels)
            of_splits = {name.format(split) for split in splits for name in (PREDICTIONS_FILE, EVALUATION_FILE)}
            # metrics.json is the last one, because it names the splits.
            for name in sorted(of_splits & set(files.list_dir(self.path))):
                files.remove(files.join(self.path, name))
            if before is not None:
                files.remove(files.join(self.path, METRICS_FILE))
        return splits

    def mark_finished(self) -> None:
        """Marks the run as finished; the last file that a run writes."""
        files.write_text(files.join(self.path, _FINISHED_FILE), "")
