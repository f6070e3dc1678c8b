"""Cross-validates logistic regression on prepared embeddings, and fits it to all tracks."""

from collections.abc import Callable

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from trainer.baselines.config import VectorConfig
from trainer.data.prepared import open_prepared
from trainer.metrics.predictions import Predictions
from trainer.quick.config import QuickConfig
from trainer.quick.cross_validate import out_of_fold_predictions, write_results
from trainer.quick.fit_run import train_config, write_run
from trainer.quick.labelled_tracks import artists_text, read_artist_word, read_labelled_tracks
from trainer.quick.nested import (
    C_VALUES,
    FoldResult,
    choose_c,
    find_folds,
    fit_c,
    nested_cross_validation,
)
from trainer.quick.quick_dir import QuickDir
from trainer.runs.run_dir import RunDir


def learn(
    directory: QuickDir, config: QuickConfig, *, log: Callable[[str], None], check_owner: Callable[[], None]
) -> None:
    """Writes the cross-validation and the run of the model, unless both are finished.

    Both take seconds, so that they are written again after an interruption. A cross-validation is not written where a
    genre has a single artist.

    Args:
        directory: The folder of the results, whose data are prepared.
        config: The settings.
        log: Takes a line for each step and each fold.
        check_owner: Raises if this process must not write any more.

    Raises:
        UserError: The data have a single genre, or are others than those of the run.
        RunFailedError: A shard is damaged.
    """
    data, features = open_prepared(directory.prepared), list(config.features)
    run = RunDir(directory.run)
    if run.is_finished():
        run.check_same_data(data)
        log("2/5 cross-validate: finished before")
        log("3/5 fit: finished before")
        return
    tracks = read_labelled_tracks(directory.prepared, features)
    vectors = VectorConfig(data_dir=directory.prepared, class_weighting="balanced", seed=config.seed)
    word = read_artist_word(directory.prepared, tracks.tracks)
    log(f"2/5 cross-validate: {counted(len(tracks.tracks), 'song')}; {word}s: {artists_text(tracks.tracks, word)}")
    out_of_fold: Predictions | None = None
    try:
        fold_of = find_folds(tracks, most=config.folds, seed=config.seed)
    except UserError as error:
        log(f"no scores: {error}")
    else:
        results = nested_cross_validation(
            tracks,
            C_VALUES,
            fold_of=fold_of,
            seed=config.seed,
            config=vectors,
            on_fold=lambda result: _log_fold(result, log=log, check_owner=check_owner),
        )
        write_results(directory.crossval, results, config=config, data=data, tracks=tracks)
        out_of_fold = out_of_fold_predictions(
            results, group_of_track={track.track_id: track.group for track in tracks.tracks}
        )
    c = choose_c(tracks, C_VALUES, most_folds=config.folds, seed=config.seed, config=vectors)
    log(f"3/5 fit: logistic regression, C {c:g}, on all songs")
    check_owner()
    fitted = fit_c(c, tracks, config=vectors)
    settings = train_config(directory.run, data_dir=directory.prepared, features=features, seed=config.seed)
    write_run(settings, fitted, data=data, out_of_fold=out_of_fold)


def _log_fold(result: FoldResult, *, log: Callable[[str], None], check_owner: Callable[[], None]) -> None:
    check_owner()
    right = result.probabilities.argmax(axis=1) == result.test.labels
    log(f"fold {result.fold}: C {result.c:g}, accuracy of segments {right.mean():.3f}")
