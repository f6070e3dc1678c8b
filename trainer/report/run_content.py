"""The content of the report of a run, and of a folder of baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import VALIDATION
from trainer.common import files
from trainer.data.contamination import find_contamination
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics
from trainer.metrics.metrics import confusion_matrix
from trainer.model_card.scores import train_counts
from trainer.report import sentences
from trainer.report.collected import BASELINES, RUN, Collected, are_groups_apart, name_of
from trainer.report.config import ReportConfig
from trainer.report.curves import best_epoch, read_epochs
from trainer.report.data_card import data_card, find_data
from trainer.report.predicted import PredictedTracks, predicted_sections, shown_track_ids
from trainer.report.provenance import ToCommand, provenance
from trainer.report.references import Reference, chance, find_learners, majority, read_baselines, reference_of
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import RunMetrics, metrics_to_json


def collect_run(run: RunDir, config: ReportConfig, *, to_command: ToCommand) -> Collected:
    """Returns the content of the report of a run.

    Args:
        run: A run of `beamtune train`, or of a learner.
        config: The settings.
        to_command: Returns the command line of saved settings.

    Raises:
        UserError: The run is not finished, has no scores of the split, or is damaged; or the data set or the baselines
            in the settings are others.
    """
    metrics, predicted = _read_scores(run, split=config.split)
    settings, data = run.config(), run.dataset()
    preparation = run.prepare_yaml()
    found = find_data(str(settings["data_dir"]), given_dir=config.data_dir, cache_key=data.cache_key)
    levels, sections = metrics.levels[config.split], predicted_sections(predicted, config, preparation=preparation)
    baselines = [] if config.baselines is None else read_baselines(config.baselines, data=data, split=config.split)
    references = [
        asdict(row)
        for row in (
            reference_of(metrics.model.name, "model", levels),
            *baselines,
            *_trivial(levels, data=data),
        )
    ]
    epochs = read_epochs(run)
    content = {
        "kind": RUN,
        "name": name_of(run.path),
        "split": config.split,
        "leak": metrics.split_leak,
        "contamination": list(find_contamination(preparation, metrics.model.features)),
        "sentences": _sentences(metrics, predicted, config=config, references=references, sections=sections),
        "cautions": sentences.cautions(
            split=config.split,
            num_groups=sections["num_groups"],
            group_word=sections["group_word"],
            labels=metrics.labels,
            tracks=levels[TRACK],
            is_network=metrics.model.hyperparameters is None,
        ),
        "model": asdict(metrics.model),
        "labels": list(metrics.labels),
        "scores": metrics_to_json(levels),
        "references": references,
        "has_baselines": bool(baselines),
        **sections,
        "epochs": [asdict(epoch) for epoch in epochs],
        "best_epoch": best_epoch(epochs),
        "data": data_card(data, found, prepare_text=preparation.text),
        "provenance": provenance(
            settings=settings,
            command=_command(settings, to_command),
            data=data,
            prepare_text=preparation.text,
            run=run,
        ),
    }
    return Collected(content=content, track_ids=shown_track_ids(sections), data=found)


def collect_baselines(folder: str, config: ReportConfig, *, to_command: ToCommand) -> Collected | None:
    """Returns the content of the report of a folder of learners; None if it holds none.

    The learner that is described is the most accurate one on the tracks of the validation split, so that the scores of
    the test split did not choose it.

    Raises:
        UserError: As for a run; or the learners have different data.
    """
    runs = find_learners(folder)
    if not runs:
        return None
    if len({run.dataset().cache_key for run in runs}) > 1:
        raise UserError(f"{folder} holds learners of different data: give one of them, such as {runs[0].path}")
    scored = {run.path: _read_scores(run, split=config.split)[0] for run in runs}
    best = max(runs, key=lambda run: _validation_accuracy(scored[run.path]))
    collected = collect_run(best, config, to_command=to_command)
    rows = [
        reference_of(scored[run.path].model.name, "baseline", scored[run.path].levels[config.split]) for run in runs
    ]
    rows.sort(key=lambda row: -row.levels[TRACK].accuracy)
    content = {
        **collected.content,
        "kind": BASELINES,
        "name": name_of(folder),
        "learners": [asdict(row) for row in rows],
        "references": [row for row in collected.content["references"] if row["kind"] != "baseline"],
        "has_baselines": True,
    }
    return Collected(content=content, track_ids=collected.track_ids, data=collected.data)


def _read_scores(run: RunDir, *, split: str) -> tuple[RunMetrics, PredictedTracks]:
    if not run.is_finished():
        raise UserError(f"{run.path} has no _SUCCESS and so is not finished: run the same command again")
    metrics = run.metrics_with(split)
    tracks, labels = read_predictions(run, split)
    level = metrics.levels[split][TRACK]
    matrix = confusion_matrix(tracks.probabilities.argmax(axis=1), tracks.labels, num_classes=len(labels))
    if labels != metrics.labels or matrix.tolist() != level.confusion_matrix:
        raise UserError(
            f"the predictions of {run.path} are not those of its metrics: run beamtune evaluate run_dir={run.path} "
            f"split={split}"
        )
    return metrics, PredictedTracks(tracks=tracks, labels=labels, metrics=level)


def _validation_accuracy(metrics: RunMetrics) -> float:
    levels = metrics.levels.get(VALIDATION)
    return -1.0 if levels is None else levels[TRACK].accuracy


def _trivial(levels: Mapping[str, LevelMetrics], *, data: PreparedData) -> list[Reference]:
    """Returns the rows of the largest genre and of chance."""
    num_true = {level: [genre.num_true for genre in levels[level].per_class] for level in (SEGMENT, TRACK)}
    in_train = train_counts(data, level=TRACK)
    counts = [in_train.get(label, 0) for label in data.labels]
    return [
        majority(counts, of="the train split", labels=data.labels, num_true=num_true),
        chance(num_true),
    ]


def _sentences(
    metrics: RunMetrics,
    predicted: PredictedTracks,
    *,
    config: ReportConfig,
    references: Sequence[Mapping[str, Any]],
    sections: Mapping[str, Any],
) -> list[str]:
    level = predicted.metrics
    return [
        sentences.asked(
            metrics.model.name,
            features=metrics.model.features,
            labels=metrics.labels,
            split=config.split,
            are_apart=are_groups_apart(metrics.split_source, metrics.split_leak),
            group_word=sections["group_word"],
        ),
        sentences.answered(
            level.accuracy,
            (level.intervals or {}).get("accuracy"),
            num_tracks=sections["num_tracks"],
            num_groups=sections["num_groups"],
            group_word=sections["group_word"],
            split=config.split,
            references=references,
        ),
        sentences.fails(sections),
    ]


def _command(settings: Mapping[str, Any], to_command: ToCommand) -> str | None:
    if "learner" not in settings:
        return to_command("train", settings)
    shared = {key: value for key, value in settings.items() if key not in ("learner", "run_dir")}
    folder = str(settings["run_dir"]).rpartition("/")[0]
    return to_command(
        "baselines", {**shared, "learners": [settings["learner"]], "output_dir": folder or files.join("")}
    )
