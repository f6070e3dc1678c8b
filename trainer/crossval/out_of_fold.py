"""The predictions of a cross-validation for all tracks of its data set."""

import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import TEST
from trainer.common import files
from trainer.crossval.file_names import RESULT_FILE
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_dir import RunDir


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """The predictions for the tracks, each by runs whose training data do not hold it.

    Attributes:
        data_dir: The prepared data set.
        split_leak: Why the predictions may be too good, or None.
        genres: The genres.
        track_ids: (tracks), sorted.
        groups: (tracks), the group of each track, such as its artist.
        labels: (tracks,) int64, the stated genres.
        probabilities: (tracks, genres) float64, the mean over the seeds.
    """

    data_dir: str
    split_leak: str | None
    genres: tuple[str, ...]
    track_ids: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def read_out_of_fold(crossval_dir: str) -> OutOfFold:
    """Reads the predictions of all runs of a cross-validation.

    Args:
        crossval_dir: Its directory, or that of one learner in it, local or gs://.

    Raises:
        UserError: It is none, is not finished, or is damaged.
    """
    path = files.join(crossval_dir, RESULT_FILE)
    try:
        content = json.loads(files.read_text(path))
        data_dir, leak = str(content["data"]["path"]), content["split"]["leak"]
        run_dirs = [files.join(crossval_dir, run["run_dir"]) for run in content["runs"]]
        is_finished = bool(content["finished"])
    except files.MissingFileError as error:
        raise UserError(f"{crossval_dir} has no {RESULT_FILE}: {_expected_in_place_of(crossval_dir)}") from error
    except (*files.READ_ERRORS, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error!r}): the command that wrote it writes it again") from error
    if not is_finished:
        raise UserError(f"{crossval_dir} is not finished: run the same beamtune crossval again")
    rows: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    label_of: dict[str, int] = {}
    group_of: dict[str, str] = {}
    genres: tuple[str, ...] = ()
    for run_dir in run_dirs:
        tracks, labels = read_predictions(RunDir(run_dir), TEST)
        if genres and labels != genres:
            raise UserError(f"{run_dir} has other genres than the runs before it: the cross-validation is damaged")
        genres = labels
        for track_id, group, label, row in zip(
            tracks.track_ids, tracks.groups, tracks.labels, tracks.probabilities, strict=True
        ):
            rows[track_id].append(row)
            label_of[track_id], group_of[track_id] = int(label), group
    track_ids = tuple(sorted(rows))
    return OutOfFold(
        data_dir=data_dir,
        split_leak=leak,
        genres=genres,
        track_ids=track_ids,
        groups=tuple(group_of[track_id] for track_id in track_ids),
        labels=np.array([label_of[track_id] for track_id in track_ids], dtype=np.int64),
        probabilities=np.array([np.mean(rows[track_id], axis=0) for track_id in track_ids]),
    )


def _expected_in_place_of(crossval_dir: str) -> str:
    """Returns what should have been given in place of a folder without results."""
    folders = [files.join(crossval_dir, name) for name in files.list_if_exists(crossval_dir)]
    learners = [folder for folder in folders if files.exists(files.join(folder, RESULT_FILE))]
    if learners:
        return f"expected one learner of it: {', '.join(learners)}"
    return "expected a directory of beamtune crossval, of which a run is finished"
