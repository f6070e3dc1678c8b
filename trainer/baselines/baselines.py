"""`beamtune baselines`: fits classical learners on a prepared data set, each in a run directory of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TextIO

from beam_pipelines.common.lease import holding
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION
from trainer.baselines.config import BaselineConfig, BaselinesConfig, VectorConfig
from trainer.baselines.fitting import FittedLearner, fit_best
from trainer.baselines.vectors import Vectors, check_fits_memory, make_vectorizer, mean_of_tracks, read_vectors
from trainer.common import files
from trainer.common.left_leases import remove_left_leases
from trainer.common.stop_on_sigterm import StopRequest, run_stoppable, stop_on_sigterm
from trainer.data.contamination import read_contamination
from trainer.data.group_word import read_group_word
from trainer.data.prepared import PreparedData, check_has_several_genres, find_shards, open_prepared, read_groups
from trainer.metrics.level_metrics import LEVELS, SEGMENT, TRACK, tracks_have_groups
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import make_predictions
from trainer.metrics.score_tables import few_groups_notes, leak_note, parameters_text, split_title, with_interval
from trainer.runs.prediction_files import write_predictions
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary, RunMetrics

_SPLITS = (TRAIN, VALIDATION, TEST)
_SCORED_SPLITS = (VALIDATION, TEST)


@dataclass(frozen=True)
class _LoadedVectors:
    """The data that all learners of a command share.

    Attributes:
        data: The data set.
        group_of_track: The group of each of its tracks.
        train: The vectors of the train split, of segments or of tracks.
        scored: The vectors of the segments of each evaluated split.
    """

    data: PreparedData
    group_of_track: Mapping[str, str]
    train: Vectors
    scored: Mapping[str, Vectors]


def run_baselines(config: BaselinesConfig, *, stream: TextIO) -> None:
    """Fits each learner, writes its run directory `output_dir/<learner>`, and prints a table of all of them.

    A run directory has the same files as that of a network, without weights: `config.yaml`, the metadata of the data
    set, `metrics.json` and `predictions-<split>.csv` of the validation and the test split, and `_SUCCESS` at the end.
    Learners that have `_SUCCESS` are not fitted again.

    Args:
        config: The settings.
        stream: The stream to print the table to.

    Raises:
        UserError: The data lack the feature or a split, their vectors need more memory than allowed, or a run
            directory was written with other settings or other data.
        RunFailedError: A shard is damaged, or has values that are not finite numbers.
        RunAgainError: The process received SIGTERM or Ctrl-C.
    """
    data = open_prepared(config.data_dir)
    runs = {learner: RunDir(files.join(config.output_dir, learner), key="output_dir") for learner in config.learners}
    wanted = [learner for learner, run in runs.items() if not _is_finished(run, learner, config=config, data=data)]
    with (
        stop_on_sigterm("the current file is written") as stop_request,
        ProgressReporter("fitting", total=len(config.learners), unit="learners") as progress,
    ):
        for learner in config.learners:
            if learner not in wanted:
                progress.log(f"{learner}: already finished, in {runs[learner].path}")
        progress.update(completed=len(config.learners) - len(wanted))
        if wanted:
            _run_learners(
                {learner: runs[learner] for learner in wanted},
                config=config,
                data=data,
                progress=progress,
                stop_request=stop_request,
            )
        else:
            remove_left_leases(config.output_dir, key="output_dir")
    found = [metrics for run in runs.values() if (metrics := run.metrics()) is not None]
    _print_table(found, config=config, data=data, stream=stream)


def _is_finished(run: RunDir, learner: str, *, config: BaselinesConfig, data: PreparedData) -> bool:
    """Returns whether the run directory of a learner is complete.

    Raises:
        UserError: It was written with other settings or other data.
    """
    if not run.is_started():
        run.check_is_empty()
        return False
    run.check_same_config(_config_of(learner, run=run, config=config), may_differ={"run_dir"})
    run.check_same_data(data)
    return run.is_finished()


def _run_learners(
    runs: Mapping[str, RunDir],
    *,
    config: BaselinesConfig,
    data: PreparedData,
    progress: ProgressReporter,
    stop_request: StopRequest,
) -> None:
    """Reads the data and fits learners. Both may take minutes, most of them inside C code."""
    message = "; the learners that are finished are kept: run the same command again to resume"
    loaded = run_stoppable(lambda: _load_vectors(config, data=data), stop_request, message=message)
    num_left = len(runs)
    with holding(config.output_dir, key="output_dir"):
        for learner, run in runs.items():
            num_left -= 1
            if _is_finished(run, learner, config=config, data=data):
                progress.log(f"{learner}: another command has finished it, in {run.path}")
                continue
            progress.update(completed=len(config.learners) - num_left - 1, details=learner)
            work = partial(_run_learner, run, learner, config=config, loaded=loaded)
            fitted = run_stoppable(work, stop_request, message=message)
            progress.log(_describe(learner, fitted))
    progress.update(completed=len(config.learners))


def _config_of(learner: str, *, run: RunDir, config: BaselinesConfig) -> BaselineConfig:
    shared = {field.name: getattr(config, field.name) for field in fields(VectorConfig)}
    return BaselineConfig(**shared, run_dir=run.path, learner=learner)


def _load_vectors(config: BaselinesConfig, *, data: PreparedData) -> _LoadedVectors:
    """Returns the vectors of all splits; checks first that all of them fit into memory."""
    for split in _SPLITS:
        find_shards(data, split)
    check_has_several_genres(data)
    vectorizer = make_vectorizer(data, config.feature_names, pooling=config.pooling)
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
        run.start(_config_of(learner, run=run, config=config), data, has_network=False)
    fitted = fit_best(learner, loaded.train, loaded.scored[VALIDATION], config=config, num_classes=len(data.labels))
    model = ModelSummary(
        name=learner,
        features=config.feature_names,
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
        run.merge_metrics(
            split,
            evaluated_levels(predictions),
            data=data,
            model=model,
            write_others=partial(write_predictions, run, split, predictions, labels=data.labels),
        )
    run.mark_finished()
    return fitted


def _describe(learner: str, fitted: FittedLearner) -> str:
    line = f"{learner}: {_settings(fitted.hyperparameters)}, {fitted.train_duration_s:.1f} s"
    return line if fitted.has_converged else f"{line}; it reached the limit of iterations without converging"


def _settings(hyperparameters: Mapping[str, float] | None) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in (hyperparameters or {}).items())


def _print_table(found: Sequence[RunMetrics], *, config: BaselinesConfig, data: PreparedData, stream: TextIO) -> None:
    leak = data.stats.split_leak
    console = make_console(stream)
    title = f"{split_title(TEST, leak)}, {' + '.join(config.feature_names)}: accuracy, and macro-F1 of tracks"
    table = TextTable(title, *("learner", "settings", *LEVELS, "macro-F1", "parameters", "seconds"), text=["settings"])
    for metrics in found:
        levels, model = metrics.levels[TEST], metrics.model
        table.add_row(
            model.name,
            _settings(model.hyperparameters),
            *(with_interval(levels[level], "accuracy") for level in LEVELS),
            with_interval(levels[TRACK], "macro_f1"),
            parameters_text(model.num_parameters),
            f"{model.train_duration_s:.1f}",
        )
    console.print(table)
    tracks, segments = (found[0].levels[TEST][level].num_examples for level in (TRACK, SEGMENT))
    print_line(
        console, f"{counted(tracks, 'track')}, {counted(segments, 'segment')}, {counted(len(data.labels), 'genre')}"
    )
    word = read_group_word(data.path, has_groups=tracks_have_groups(found[0].levels[TEST], split_leak=leak))
    for note in few_groups_notes([found[0].levels[TEST][TRACK]], group_word=word):
        print_line(console, note)
    if leak is not None:
        print_line(console, leak_note(leak))
    for note in read_contamination(data.path, config.feature_names):
        print_line(console, note)
