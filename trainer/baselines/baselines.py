"""`beamtune baselines`: classical learners on a prepared data set, each with a run directory as a network has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TextIO

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import make_console, make_table, print_line
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION
from trainer.baselines.config import BaselineConfig, BaselinesConfig, VectorConfig
from trainer.baselines.fitting import FittedLearner, fit_best
from trainer.baselines.vectors import Vectors, check_fits_memory, make_vectorizer, mean_of_tracks, read_vectors
from trainer.common import files
from trainer.data.prepared import PreparedData, check_has_several_genres, find_shards, open_prepared, read_groups
from trainer.metrics.levels import LEVELS, SEGMENT, TRACK, evaluated_levels
from trainer.metrics.predictions import make_predictions
from trainer.metrics.score_tables import with_interval
from trainer.runs.prediction_files import write_predictions
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary, RunMetrics

_SPLITS = (TRAIN, VALIDATION, TEST)
_SCORED_SPLITS = (VALIDATION, TEST)


@dataclass(frozen=True)
class _LoadedVectors:
    """What all learners of a command share.

    Attributes:
        data: The data set.
        group_of_track: The group of each of its tracks.
        train: What is learned from: segments, or tracks.
        scored: The segments of each split that is scored.
    """

    data: PreparedData
    group_of_track: Mapping[str, str]
    train: Vectors
    scored: Mapping[str, Vectors]


def run_baselines(config: BaselinesConfig, *, stream: TextIO) -> None:
    """Fits each learner, writes its run directory `output_dir/<learner>`, and prints a table of all of them.

    A run directory holds what that of a network does, apart from weights: `config.yaml`, the metadata of the data set,
    `metrics.json` and `predictions-<split>.csv` of the validation and the test split, and `_SUCCESS` in the end.
    Learners that have one are not fitted again.

    Args:
        config: What to learn from, and which learners.
        stream: Where to print the table.

    Raises:
        UserError: The data lack what is asked for, memory for them was not set aside, or a run directory is one of
            other settings or other data.
        RunFailedError: A shard is damaged, or holds values that are not finite numbers.
    """
    data = open_prepared(config.data_dir)
    runs = {learner: RunDir(files.join(config.output_dir, learner), key="output_dir") for learner in config.learners}
    wanted = [learner for learner, run in runs.items() if not _is_finished(run, learner, config=config, data=data)]
    with ProgressReporter("fitting", total=len(config.learners), unit="learners") as progress:
        for learner in config.learners:
            if learner not in wanted:
                progress.log(f"{learner}: finished already, in {runs[learner].path}")
        progress.update(completed=len(config.learners) - len(wanted))
        if wanted:
            _run_learners({learner: runs[learner] for learner in wanted}, config=config, data=data, progress=progress)
    found = [metrics for run in runs.values() if (metrics := run.metrics()) is not None]
    _print_table(found, config=config, data=data, stream=stream)


def _is_finished(run: RunDir, learner: str, *, config: BaselinesConfig, data: PreparedData) -> bool:
    """Returns whether a learner has a whole run directory.

    Raises:
        UserError: It has one of other settings or other data.
    """
    if not run.is_started():
        return False
    run.check_same_config(_config_of(learner, run=run, config=config), may_differ={"run_dir"})
    run.check_same_data(data)
    return run.is_finished()


def _run_learners(
    runs: Mapping[str, RunDir], *, config: BaselinesConfig, data: PreparedData, progress: ProgressReporter
) -> None:
    """Reads the data and fits the learners that are not finished yet."""
    loaded = _load_vectors(config, data=data)
    num_left = len(runs)
    for learner, run in runs.items():
        progress.update(completed=len(config.learners) - num_left, details=learner)
        fitted = _run_learner(run, learner, config=config, loaded=loaded)
        num_left -= 1
        progress.log(_describe(learner, fitted))
    progress.update(completed=len(config.learners))


def _config_of(learner: str, *, run: RunDir, config: BaselinesConfig) -> BaselineConfig:
    shared = {field.name: getattr(config, field.name) for field in fields(VectorConfig)}
    return BaselineConfig(**shared, run_dir=run.path, learner=learner)


def _load_vectors(config: BaselinesConfig, *, data: PreparedData) -> _LoadedVectors:
    """Returns the vectors of all splits, which all fit into memory or are not read at all."""
    for split in _SPLITS:
        find_shards(data, split)
    check_has_several_genres(data)
    vectorizer = make_vectorizer(data, config.feature, pooling=config.pooling)
    check_fits_memory(data, _SPLITS, vectorizer=vectorizer, max_mib=config.max_matrix_mib)
    group_of_track = read_groups(data)
    train = read_vectors(data, TRAIN, vectorizer=vectorizer)
    return _LoadedVectors(
        data=data,
        group_of_track=group_of_track,
        train=mean_of_tracks(train) if config.unit == "track" else train,
        scored={split: read_vectors(data, split, vectorizer=vectorizer) for split in _SCORED_SPLITS},
    )


def _run_learner(run: RunDir, learner: str, *, config: BaselinesConfig, loaded: _LoadedVectors) -> FittedLearner:
    """Fits a learner and writes its run directory."""
    data = loaded.data
    if not run.is_started():
        run.start(_config_of(learner, run=run, config=config), data)
    fitted = fit_best(learner, loaded.train, loaded.scored[VALIDATION], config=config, num_classes=len(data.labels))
    model = ModelSummary(
        name=learner,
        features=(config.feature,),
        num_parameters=fitted.num_parameters,
        train_duration_s=fitted.train_duration_s,
        hyperparameters=fitted.hyperparameters,
    )
    for split, vectors in loaded.scored.items():
        predictions = make_predictions(
            fitted.probabilities(vectors.values),
            labels=vectors.labels,
            track_ids=vectors.track_ids,
            starts_s=vectors.starts_s,
            group_of_track=loaded.group_of_track,
        )
        write_predictions(run, split, predictions, labels=data.labels)
        run.merge_metrics(split, evaluated_levels(predictions), data=data, model=model)
    run.mark_finished()
    return fitted


def _describe(learner: str, fitted: FittedLearner) -> str:
    line = f"{learner}: {_settings(fitted.hyperparameters)}, {fitted.train_duration_s:.1f} s"
    return line if fitted.has_converged else f"{line}; it came to its greatest number of iterations before its end"


def _settings(hyperparameters: Mapping[str, float] | None) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in (hyperparameters or {}).items())


def _print_table(found: Sequence[RunMetrics], *, config: BaselinesConfig, data: PreparedData, stream: TextIO) -> None:
    leak = data.stats.split_leak
    console = make_console(stream)
    title = f"{TEST}{'' if leak is None else ' (leaky split)'}, {config.feature}: accuracy, and macro-F1 of tracks"
    table = make_table(console, title, "learner", "settings", *LEVELS, "macro-F1", "parameters", "seconds")
    table.columns[1].justify = "left"
    for metrics in found:
        levels, model = metrics.levels[TEST], metrics.model
        table.add_row(
            model.name,
            _settings(model.hyperparameters),
            *(with_interval(levels[level], "accuracy") for level in LEVELS),
            with_interval(levels[TRACK], "macro_f1"),
            "–" if model.num_parameters is None else f"{model.num_parameters:,}",
            f"{model.train_duration_s:.1f}",
        )
    console.print(table)
    tracks, segments = (found[0].levels[TEST][level].num_examples for level in (TRACK, SEGMENT))
    print_line(console, f"{tracks} tracks, {segments} segments, {len(data.labels)} genres")
    if leak is not None:
        print_line(console, f"these scores are too high: {leak}")
