"""`beamtune train`: from a prepared data set to a run directory with the best weights and their metrics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from beam_pipelines.common.lease import holding
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import say_step, stderr, stdout
from beam_pipelines.records.schema import VALIDATION
from trainer.board.board import Board
from trainer.common.left_leases import remove_left_leases
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.common.vertex_logs import event_directories
from trainer.data.batches import shard_read_errors
from trainer.data.group_word import group_word_of_preparation
from trainer.data.prepared import read_groups
from trainer.devices.cluster import Cluster
from trainer.devices.strategy import make_strategy
from trainer.metrics.calibration import calibrated, fit_calibration
from trainer.metrics.level_metrics import TRACK, tracks_have_groups
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import SegmentScores, predictions_of_scores
from trainer.metrics.score_tables import one_genre_notes, print_scores
from trainer.model_card.model_card import write_model_card
from trainer.runs.calibration_file import write_calibration
from trainer.runs.checkpoints import read_progress
from trainer.runs.prediction_files import write_predictions
from trainer.runs.restarts import bounded_restarts
from trainer.runs.restored_model import summarize_model
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary
from trainer.runs.versions_file import write_versions
from trainer.tracking.mlflow_sink import MlflowSink
from trainer.tracking.sinks import Sinks
from trainer.training.callbacks import Callback
from trainer.training.compilation import keys_of_same_compilation
from trainer.training.components import TrainingComponents, TrainingData, make_components, open_training_data
from trainer.training.config import KEYS_THAT_MAY_DIFFER, TrainConfig
from trainer.training.epochs import EpochLoop
from trainer.training.input_share import describe_input_share
from trainer.training.more_epochs import check_trains_more, keys_of_more_epochs


def train(
    config: TrainConfig,
    *,
    strategy: Any = None,
    until_epoch: int | None = None,
    callback: Callback | None = None,
    check_owner: Callable[[], None] | None = None,
) -> bool:
    """Trains a run, resumes one that was interrupted, or does nothing if the run is finished.

    A finished run continues with more epochs, or with more patience after early stopping; see `more_epochs`.

    Args:
        config: The settings.
        strategy: A tf.distribute strategy that was made from the same settings; None makes it.
        until_epoch: The last epoch of this call. The learning rate still falls until the last epoch of `config`.
        callback: Called after steps and epochs; may end the run.
        check_owner: Raises if this process must not write to the run directory any more; called before checkpoints,
            events and results are written. None: this function holds the lease of the directory.

    Returns:
        Whether this process has written the run; of those of a cluster, one has.

    Raises:
        UserError: The data, the model and the run directory do not fit together, or another command trains the run;
            nothing was trained.
        RunFailedError: A loss is not a finite number, a file is damaged, another command has taken over the run, or
            other processes of the cluster are lost again and again before there is a new checkpoint.
        RunAgainError: The process received SIGTERM, or another process of its cluster is lost; the state is saved.
    """
    # TensorFlow requires that a cluster is joined before any other operation.
    strategy = make_strategy(config.strategy) if strategy is None else strategy
    cluster = Cluster(strategy, config.strategy)
    with cluster.lost_worker_errors():
        run = RunDir(config.run_dir)
        if _is_finished(run, config, cluster=cluster):
            if cluster.is_chief and check_owner is None:
                remove_left_leases(run.path, key="run_dir")
            return cluster.is_chief
        data = open_training_data(config)
        with (
            _ownership(run, is_chief=cluster.is_chief, check_owner=check_owner) as check,
            bounded_restarts(run, cluster),
        ):
            if cluster.is_chief:
                say_step(f"reading the data and building the model {config.model.name}")
            components = make_components(config, strategy=strategy, cluster=cluster, run=run, data=data)
            sinks = _make_sinks(config, run=run, data=data, cluster=cluster, check_owner=check)
            check()
            if cluster.is_chief:
                _start(run, config, data=data)
            # Before this, there is nothing to save.
            shards = [*data.train_shards, *data.validation_shards]
            with stop_on_sigterm() as stop, shard_read_errors(shards), sinks.opened():
                epochs = EpochLoop(components, sinks=sinks, stop_request=stop, callback=callback, check_owner=check)
                epochs.run(last_epoch=min(config.epochs, until_epoch or config.epochs))
                _finish(components, sinks=sinks, stop_request=stop, check_owner=check)
        return cluster.is_chief


def _make_sinks(
    config: TrainConfig, *, run: RunDir, data: TrainingData, cluster: Cluster, check_owner: Callable[[], None]
) -> Sinks:
    """Returns what the run is written to besides its own files."""
    boards = [
        Board(
            config,
            run=run,
            data=data.prepared,
            validation_shards=data.validation_shards,
            directory=directory,
            is_writer=cluster.is_chief,
            check_owner=check_owner,
        )
        for directory in event_directories(run.path)
    ]
    mlflow = MlflowSink(config, config.mlflow, run=run, data=data.prepared, is_writer=cluster.is_chief)
    return Sinks([*boards, mlflow])


@contextmanager
def _ownership(run: RunDir, *, is_chief: bool, check_owner: Callable[[], None] | None) -> Iterator[Callable[[], None]]:
    """Yields what checks that this process may write to the run directory; holds its lease if nothing was given."""
    if check_owner is not None:
        yield check_owner
    elif not is_chief:
        yield lambda: None
    else:
        if not run.is_started():
            run.check_is_empty()
        with holding(run.path, key="run_dir") as lease:
            yield lease.check


def _is_finished(run: RunDir, config: TrainConfig, *, cluster: Cluster) -> bool:
    """Returns whether the run is finished. The chief finds out for all processes.

    Raises:
        UserError: The run directory holds a run with other settings.
    """
    is_finished = False
    if cluster.is_chief and run.is_started():
        more = _check_same_config(run, config)
        is_finished = run.is_finished()
        if is_finished and more:
            progress = read_progress(run.checkpoint_dir)
            check_trains_more(config, progress.early_stopping, epochs_done=progress.epochs_done)
            is_finished = False
    is_finished = bool(cluster.broadcast_from_chief(int(is_finished)))
    if is_finished and cluster.is_chief:
        print(f"{run.path} is finished already: nothing to do; to train again, choose another run_dir", file=stdout())
    return is_finished


def _check_same_config(run: RunDir, config: TrainConfig) -> frozenset[str]:
    """Checks that a run has these settings; returns those that differ and let it train longer.

    Raises:
        UserError: Other settings differ.
    """
    saved = run.config()
    more = keys_of_more_epochs(saved, config, is_finished=run.is_finished())
    run.check_same_config(config, may_differ=KEYS_THAT_MAY_DIFFER | keys_of_same_compilation(saved, config) | more)
    return more


def _start(run: RunDir, config: TrainConfig, *, data: TrainingData) -> None:
    """Writes the settings of a new run; checks those of one that is resumed.

    Raises:
        UserError: The run has other settings or other data.
    """
    if run.is_started():
        # Again: another command may have started it since.
        more = _check_same_config(run, config)
        run.check_same_data(data.prepared)
        run.check_same_order(cache=config.cache)
        if more:
            run.continue_with(config)
    else:
        run.start(config, data.prepared)


def _finish(
    components: TrainingComponents, *, sinks: Sinks, stop_request: StopRequest, check_owner: Callable[[], None]
) -> None:
    """Writes and prints the metrics of the best weights.

    Args:
        components: The run.
        sinks: Take the results.
        stop_request: Ends the run until the metrics are computed.
        check_owner: Raises if the run belongs to another process now; called before files are written.

    Raises:
        RunAgainError: The process received SIGTERM or Ctrl-C before all were computed; the state is saved.
    """
    progress, run, config = components.progress, components.run, components.config
    # Before the best state is restored, whose duration ends at the best epoch.
    input_share = describe_input_share(
        config, input_wait_s=progress.steps_input_wait_s, duration_s=progress.train_duration_s
    )
    model = summarize_model(config.model, components.model, train_duration_s=progress.train_duration_s)
    components.checkpoints.restore_best()
    if components.cluster.is_chief:
        say_step("computing the scores of the best weights")

    def check_not_stopped() -> None:
        if components.cluster.any_process([stop_request.is_set]) == [True]:
            raise stop_request.error("; the state is saved: run the same command again to resume")

    stop_request.finishing = "the current batch of the validation"
    # Scores of examples that were trained on say nothing about others.
    scores = None if config.learn_from_validation else components.score_validation(check_not_stopped)
    stop_request.finishing = "the results are written"
    if components.cluster.is_chief:
        check_owner()
        _remove_earlier_scores(run)
        if scores is not None:
            _write_metrics(components, scores, model=model, sinks=sinks)
        check_owner()
        write_versions(run)
        write_model_card(run)
        sinks.write_files()
        run.mark_finished()
        if input_share is not None:
            print(input_share, file=stdout())
        epoch = progress.early_stopping.best_epoch
        print(weights_line(epoch, run_dir=run.path, is_validated=scores is not None), file=stdout())
    # When one process ends, TensorFlow ends the others too: they wait until the chief has written all files.
    components.cluster.barrier()


def weights_line(epoch: int, *, run_dir: str, is_validated: bool) -> str:
    """Returns the line that names the epoch whose weights are kept, and why it is that one.

    Args:
        epoch: The epoch, counted from 1.
        run_dir: The run.
        is_validated: Whether the run has a validation loss; a run that learns from the validation split has none.
    """
    why = "the epoch with the lowest validation loss" if is_validated else "the last one, for want of a validation loss"
    return f"the weights of epoch {epoch}, {why}, are in {run_dir}"


def _remove_earlier_scores(run: RunDir) -> None:
    """Removes scores that were computed while the run was not finished, which may be those of earlier weights."""
    evaluated = [split for split in run.remove_metrics() if split != VALIDATION]
    if evaluated:
        print(
            f"note: the scores of {', '.join(evaluated)} were computed before the training had ended, and are removed: "
            f"beamtune evaluate run_dir={run.path} split={evaluated[0]} computes those of the best weights",
            file=stderr(),
        )


def _write_metrics(components: TrainingComponents, scores: SegmentScores, *, model: ModelSummary, sinks: Sinks) -> None:
    run, data = components.run, components.data.prepared
    predictions = predictions_of_scores(scores, group_of_track=read_groups(data))
    calibration = fit_calibration(predictions) if components.config.calibrate else None
    levels = evaluated_levels(predictions, calibration=calibration)
    predictions = calibrated(predictions, calibration)

    def write_others() -> None:
        write_predictions(run, VALIDATION, predictions, labels=data.labels)
        if calibration is not None:
            write_calibration(run, calibration)

    run.merge_metrics(VALIDATION, levels, data=data, model=model, write_others=write_others)
    best_epoch = components.progress.early_stopping.best_epoch
    say_step("drawing the pictures for TensorBoard")
    sinks.write_end(predictions, levels, step=best_epoch * components.stream.steps_per_epoch)
    word = group_word_of_preparation(
        data.preparation, has_groups=tracks_have_groups(levels, split_leak=data.stats.split_leak)
    )
    print_scores(VALIDATION, levels, leak=data.stats.split_leak, group_word=word, stream=stdout())
    for note in one_genre_notes(VALIDATION, levels[TRACK], labels=data.labels, is_network=True):
        print(f"note: {visible_line(note)}", file=stdout())
