"""The content of the report of a cross-validation."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import TEST
from trainer.common import files
from trainer.crossval.file_names import RESULT_FILE
from trainer.crossval.out_of_fold import OutOfFold, read_out_of_fold
from trainer.crossval.results import QUICK, mean, sample_sd
from trainer.data.prepared import open_prepared
from trainer.metrics.bootstrap import CONFIDENCE
from trainer.metrics.level_metrics import LEVELS, TRACK, Interval, LevelMetrics
from trainer.metrics.levels import evaluated_tracks
from trainer.metrics.predictions import TrackPredictions
from trainer.report import sentences
from trainer.report.collected import CROSSVAL, Collected, are_groups_apart, name_of
from trainer.report.config import ReportConfig
from trainer.report.data_card import FoundData, data_card, find_data
from trainer.report.predicted import PredictedTracks, predicted_sections, shown_track_ids
from trainer.report.provenance import ToCommand, provenance
from trainer.report.references import chance, majority

_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy")


def collect_crossval(path: str, config: ReportConfig, *, to_command: ToCommand) -> Collected:
    """Returns the content of the report of a cross-validation, or of one learner in it.

    Args:
        path: Its directory, local or gs://.
        config: The settings.
        to_command: Returns the command line of saved settings.

    Raises:
        UserError: It is not finished or damaged, or the data set in the settings is another one.
    """
    if config.split != TEST:
        raise UserError(f"split={config.split}: {path} is a cross-validation and has scores of split {TEST} only")
    if config.baselines is not None:
        raise UserError(
            f"baselines={config.baselines}: {path} is a cross-validation: compare it with one of baselines by beamtune "
            "compare"
        )
    found_tracks = read_out_of_fold(path)
    try:
        result = json.loads(files.read_text(files.join(path, RESULT_FILE)))
        return _collect(path, result, found_tracks, config=config, to_command=to_command)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{files.join(path, RESULT_FILE)} is damaged ({error!r}): run its beamtune crossval command again"
        ) from error


def _collect(
    path: str,
    result: Mapping[str, Any],
    found_tracks: OutOfFold,
    *,
    config: ReportConfig,
    to_command: ToCommand,
) -> Collected:
    predicted = _predicted(found_tracks)
    found = find_data(found_tracks.data_dir, given_dir=config.data_dir, cache_key=_source_key(result))
    preparation = None if found.tables is None else found.tables.preparation
    sections = predicted_sections(predicted, config, preparation=preparation)
    references = [asdict(row) for row in _references(predicted)]
    level = predicted.metrics
    content = {
        "kind": CROSSVAL,
        **_title(path, result),
        "split": TEST,
        "leak": found_tracks.split_leak,
        "contamination": result.get("contamination", []),  # crossval.json of 0.1.0 has none
        "sentences": _sentences(result, predicted, sections=sections, references=references),
        "cautions": sentences.cautions(
            split=TEST,
            num_groups=sections["num_groups"],
            group_word=sections["group_word"],
            labels=predicted.labels,
            tracks=level,
            is_network=result["model"].get("hyperparameters") is None,
        ),
        "model": result["model"],
        "labels": list(predicted.labels),
        "folds": result["folds"],
        "seeds": result["seeds"],
        "runs": [_run_row(run) for run in result["runs"]],
        "summary": {level: _summary(result, level) for level in LEVELS},
        "pooled": result["pooled"],
        "out_of_fold": level.to_json(),
        "references": references,
        **sections,
        **_data_sections(result, found, to_command=to_command),
    }
    return Collected(content=content, track_ids=shown_track_ids(sections), data=found)


def _title(path: str, result: Mapping[str, Any]) -> dict[str, str]:
    """Returns the name of the page, and what it is about: `quick` calls its folder crossval, whatever the music is."""
    if result.get("command") != QUICK:
        return {"name": name_of(path)}
    dataset = result["settings"]["dataset"]
    music = str(dataset.get("root", dataset.get("path")))
    return {"name": name_of(music), "about": f"the cross-validation of beamtune quick on {music}"}


def _predicted(found: OutOfFold) -> PredictedTracks:
    tracks = TrackPredictions(
        track_ids=found.track_ids, groups=found.groups, labels=found.labels, probabilities=found.probabilities
    )
    return PredictedTracks(tracks=tracks, labels=found.genres, metrics=evaluated_tracks(tracks))


def _references(predicted: PredictedTracks) -> list[Any]:
    num_true = [genre.num_true for genre in predicted.metrics.per_class]
    counts = {TRACK: num_true}
    return [majority(num_true, of="all tracks", labels=predicted.labels, num_true=counts), chance(counts)]


def _run_row(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the scores of a run: {level: {metric: value}}, with its fold and seed."""
    return {
        "fold": run["fold"],
        "seed": run["seed"],
        "num_tracks": run[TEST][TRACK]["num_examples"],
        "scores": {level: {name: run[TEST][level][name] for name in _METRICS} for level in LEVELS},
    }


def _summary(result: Mapping[str, Any], level: str) -> dict[str, Any]:
    """Returns mean, standard deviation and interval of each metric of a level."""
    return {
        name: {
            "mean": result["mean"][level][name],
            "sd": result["sd"][level][name],
            "interval": _interval_over_folds(result["runs"], level, name),
        }
        for name in _METRICS
    }


def _interval_over_folds(runs: Sequence[Mapping[str, Any]], level: str, name: str) -> dict[str, float] | None:
    """Returns the 95 % interval of the mean over folds, by Student's t from the means over the seeds of each fold."""
    from scipy import stats  # takes half a second

    folds = sorted({run["fold"] for run in runs})
    means = [mean([run[TEST][level][name] for run in runs if run["fold"] == fold]) for fold in folds]
    sd = sample_sd(means)
    if sd is None:
        return None
    distance = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(means) - 1)) * sd / math.sqrt(len(means))
    return asdict(Interval(low=max(0.0, mean(means) - distance), high=min(1.0, mean(means) + distance)))


def _sentences(
    result: Mapping[str, Any],
    predicted: PredictedTracks,
    *,
    sections: Mapping[str, Any],
    references: Sequence[Mapping[str, Any]],
) -> list[str]:
    level: LevelMetrics = predicted.metrics
    return [
        sentences.asked(
            result["model"]["name"],
            features=result["model"]["features"],
            labels=predicted.labels,
            split=TEST,
            are_apart=are_groups_apart("folds", result["split"]["leak"]),
            group_word=sections["group_word"],
        ),
        sentences.answered(
            level.accuracy,
            (level.intervals or {}).get("accuracy"),
            num_tracks=sections["num_tracks"],
            num_groups=sections["num_groups"],
            group_word=sections["group_word"],
            split="out-of-fold",
            references=references,
        ),
        sentences.fails(sections),
    ]


def _data_sections(result: Mapping[str, Any], found: FoundData, *, to_command: ToCommand) -> dict[str, Any]:
    settings = result["settings"]
    data = None if found.tables is None else open_prepared(found.data_dir)
    text = None if found.tables is None else found.tables.preparation.text
    return {
        "data": {"name": result["data"]["name"], "path": found.data_dir, "problem": found.problem}
        if data is None or text is None
        else data_card(data, found, prepare_text=text),
        "provenance": provenance(
            settings=settings,
            # Results of earlier versions do not name it.
            command=to_command(str(result.get("command", "crossval")), settings),
            data=data,
            prepare_text=text,
            run=None,
        )
        | {"cache_key": _source_key(result)},
    }


def _source_key(result: Mapping[str, Any]) -> str:
    return str(result["data"]["source_fingerprint"])
