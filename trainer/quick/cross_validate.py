"""Writes a nested cross-validation as `beamtune crossval` writes its results, for `report`, `compare` and `review`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from beam_pipelines.prepare.plan import make_cache_key
from beam_pipelines.records.schema import TEST
from beam_pipelines.splits.assign import FOLDS, split_leak
from trainer.common import files
from trainer.crossval.file_names import RESULT_FILE
from trainer.crossval.results import QUICK, CrossvalHeader, ScoredRun, crossval_to_json
from trainer.data.contamination import read_contamination
from trainer.data.prepared import PreparedData
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import Predictions, make_predictions
from trainer.quick.config import QuickConfig
from trainer.quick.labelled_tracks import LabelledTracks
from trainer.quick.nested import FoldResult
from trainer.runs.prediction_files import write_predictions
from trainer.runs.run_dir import METRICS_FILE, RunDir
from trainer.runs.run_metrics import ModelSummary, RunMetrics

MODEL = "linear"


def write_results(
    directory: str,
    results: Sequence[FoldResult],
    *,
    config: QuickConfig,
    data: PreparedData,
    tracks: LabelledTracks,
) -> None:
    """Writes the predictions and the scores of each fold, and `crossval.json` last.

    Args:
        directory: The directory of the cross-validation, local or gs://.
        results: One for each fold.
        config: The settings.
        data: The prepared data set.
        tracks: Its tracks.
    """
    leak = split_leak(tracks.tracks, FOLDS)
    group_of_track = {track.track_id: track.group for track in tracks.tracks}
    runs = [
        _write_fold(directory, result, config=config, data=data, leak=leak, group_of_track=group_of_track)
        for result in results
    ]
    header = CrossvalHeader(
        data_name=data.info.name,
        data_path=data.path,
        source_cache_key=data.cache_key,
        cache_key=make_cache_key([data.cache_key, len(results), config.seed]),
        split_source=FOLDS,
        split_leak=leak,
        contamination=read_contamination(data.path, config.features),
        num_folds=len(results),
        seeds=(config.seed,),
    )
    text = crossval_to_json(header, runs, settings=asdict(config), command=QUICK)
    files.write_text(files.join(directory, RESULT_FILE), text)


def out_of_fold_predictions(results: Sequence[FoldResult], *, group_of_track: Mapping[str, str]) -> Predictions:
    """Returns the predictions of all folds together."""
    return make_predictions(
        np.concatenate([result.probabilities for result in results]),
        labels=np.concatenate([result.test.labels for result in results]),
        track_ids=[name for result in results for name in result.test.track_ids],
        starts_s=np.concatenate([result.test.starts_s for result in results]),
        group_of_track=group_of_track,
    )


def _write_fold(
    directory: str,
    result: FoldResult,
    *,
    config: QuickConfig,
    data: PreparedData,
    leak: str | None,
    group_of_track: Mapping[str, str],
) -> ScoredRun:
    folder = f"runs/fold-{result.fold}-seed-{config.seed}"
    run = RunDir(files.join(directory, folder))
    predictions = out_of_fold_predictions([result], group_of_track=group_of_track)
    metrics = RunMetrics(
        labels=data.labels,
        split_source=FOLDS,
        split_leak=leak,
        model=ModelSummary(
            name=MODEL,
            features=tuple(config.features),
            num_parameters=result.num_parameters,
            train_duration_s=result.fit_duration_s,
            hyperparameters={"C": result.c},
        ),
        levels={TEST: evaluated_levels(predictions)},
    )
    files.make_dirs(run.path)
    write_predictions(run, TEST, predictions, labels=data.labels)
    files.write_text(files.join(run.path, METRICS_FILE), metrics.to_json())
    return ScoredRun(fold=result.fold, seed=config.seed, run_dir=folder, metrics=metrics, tracks=predictions.by_track())
