"""Reads the scores of a run, or of a cross-validation, for a comparison."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.saved_settings import SettingValue, trained_settings
from beam_pipelines.records.schema import TEST
from trainer.common import files
from trainer.common.result_folders import find_result_folders
from trainer.crossval.file_names import RESULT_FILE, SETTINGS_FILE
from trainer.data.contamination import read_contamination
from trainer.data.group_word import GROUP, read_group_word
from trainer.metrics.level_metrics import COUNTED_METRICS, Interval, tracks_have_groups
from trainer.metrics.score_tables import has_rough_intervals
from trainer.runs.run_dir import CONFIG_FILE, PREDICTIONS_FILE, RunDir
from trainer.runs.run_metrics import OUT_OF_FOLD, ModelSummary
from trainer.tuner.search_dir import SEARCH_FILE

# Of a run that is fitted to all tracks.
_OUT_OF_FOLD_FILE = PREDICTIONS_FILE.format(OUT_OF_FOLD)


@dataclass(frozen=True)
class Score:
    """The value of one metric.

    Attributes:
        value: The value for a run; the mean over the runs of a cross-validation.
        interval: The 95 % interval for a run, or None.
        sd: The standard deviation over the runs of a cross-validation, or None.
        is_rough: Whether the interval is over few groups.
    """

    value: float
    interval: Interval | None = None
    sd: float | None = None
    is_rough: bool = False


@dataclass(frozen=True)
class ComparedResult:
    """The scores of a run or a cross-validation.

    Attributes:
        path: Its directory.
        model: The trained model.
        data_name: The name of the data set.
        data_cache_key: A hash of the data set and its splits.
        split_source: How the splits were made.
        split_leak: Why the scores may be too high, or None.
        contamination: A sentence for each feature whose pretrained network learned from the music.
        scores: {level: {metric: score}}.
        settings: The settings that change what is trained, by dotted key.
        group_word: What a group of its tracks is, such as "artist".
        num_folds: The folds of a cross-validation, or None.
        num_seeds: The seeds of a cross-validation, or None.
    """

    path: str
    model: ModelSummary
    data_name: str
    data_cache_key: str
    split_source: str
    split_leak: str | None
    contamination: tuple[str, ...]
    scores: Mapping[str, Mapping[str, Score]]
    settings: Mapping[str, SettingValue]
    group_word: str
    num_folds: int | None = None
    num_seeds: int | None = None


def is_result(path: str) -> bool:
    """Returns whether a directory, local or gs://, holds a run or a cross-validation, finished or not."""
    return any(files.exists(files.join(path, name)) for name in (CONFIG_FILE, SETTINGS_FILE, RESULT_FILE))


def expand_directory(path: str) -> list[str]:
    """Returns the directories of the learners of a cross-validation of several, else the directory itself.

    Args:
        path: A directory, local or gs://.
    """
    if files.exists(files.join(path, SETTINGS_FILE)) and not files.exists(files.join(path, RESULT_FILE)):
        names = sorted(name.rstrip("/") for name in files.list_dir(path))
        learners = [files.join(path, name) for name in names]
        return [learner for learner in learners if files.exists(files.join(learner, RESULT_FILE))] or [path]
    return [path]


def find_results(folder: str) -> list[str]:
    """Returns the runs and cross-validations below a folder.

    The trials of searches are left out, and runs that are fitted to all tracks: the cross-validation beside one has its
    scores.

    Args:
        folder: Local or gs://.
    """
    found = find_result_folders(folder, {CONFIG_FILE, SETTINGS_FILE, RESULT_FILE, SEARCH_FILE})
    directories = [one.path for one in found if not {SEARCH_FILE, _OUT_OF_FOLD_FILE} & one.names]
    return [expanded for path in directories for expanded in expand_directory(path)]


def read_result(path: str, *, split: str) -> ComparedResult:
    """Reads the scores of a run or a cross-validation.

    Args:
        path: Its directory, local or gs://.
        split: The split of the scores.

    Raises:
        UserError: The directory is neither, not finished, damaged, or has no scores of the split.
    """
    if files.exists(files.join(path, RESULT_FILE)):
        return _read_crossval(path, split=split)
    return _read_run(RunDir(path), split=split)


def _read_run(run: RunDir, *, split: str) -> ComparedResult:
    if not run.is_started():
        missing = "does not exist" if not files.exists(run.path) else f"has neither config.yaml nor {RESULT_FILE}"
        raise UserError(f"{run.path} {missing}: give directories written by beamtune train, baselines or crossval")
    if not run.is_finished():
        raise UserError(f"{run.path} has no _SUCCESS and so is not finished: finish it, or leave it out")
    metrics = run.metrics_with(split)
    data = run.dataset()
    return ComparedResult(
        path=run.path,
        model=metrics.model,
        data_name=data.info.name,
        data_cache_key=data.cache_key,
        split_source=metrics.split_source,
        split_leak=metrics.split_leak,
        contamination=read_contamination(run.dataset_dir, metrics.model.features),
        scores={
            level: {
                name: Score(
                    getattr(of_level, name),
                    interval=(of_level.intervals or {}).get(name),
                    is_rough=has_rough_intervals(of_level),
                )
                for name in COUNTED_METRICS
            }
            for level, of_level in metrics.levels[split].items()
        },
        settings=trained_settings(run.config()),
        group_word=read_group_word(
            run.dataset_dir, has_groups=tracks_have_groups(metrics.levels[split], split_leak=metrics.split_leak)
        ),
    )


def _read_crossval(path: str, *, split: str) -> ComparedResult:
    if split != TEST:
        raise UserError(f"split={split}: {path} is a cross-validation and has scores of split {TEST} only")
    file_path = files.join(path, RESULT_FILE)
    try:
        content = json.loads(files.read_text(file_path))
        if not content["finished"]:
            raise UserError(f"{path} is not finished: run its beamtune crossval command again, or leave it out")
        return _crossval_result(path, content)
    except files.FileError as error:
        raise UserError(f"{file_path} cannot be read: {error.message}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file_path} is damaged ({error!r}): run its beamtune crossval command again") from error


def _crossval_result(path: str, content: Mapping[str, Any]) -> ComparedResult:
    return ComparedResult(
        path=path,
        model=ModelSummary.from_json(content["model"]),
        data_name=content["data"]["name"],
        data_cache_key=content["data"]["fingerprint"],
        split_source=content["split"]["source"],
        split_leak=content["split"]["leak"],
        contamination=tuple(content.get("contamination", [])),  # crossval.json of 0.1.0 has none
        num_folds=content["folds"],
        num_seeds=len(content["seeds"]),
        scores={
            level: {name: Score(float(means[name]), sd=float(content["sd"][level][name])) for name in COUNTED_METRICS}
            for level, means in content["mean"].items()
        },
        settings=trained_settings(content["settings"]),
        group_word=GROUP,  # no interval of it is compared
    )
