"""What is known of a result of a command from its own files."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILE
from beam_pipelines.common.terminal import counted
from beam_pipelines.records.schema import BUILD_FOLDER, DATASET_INFO_FILE, SUCCESS_FILE, TEST, VALIDATION
from trainer.common import files
from trainer.common.result_folders import ResultFolder, find_result_folders
from trainer.crossval.file_names import RESULT_FILE, SETTINGS_FILE
from trainer.data.prepared import open_prepared
from trainer.metrics.level_metrics import TRACK
from trainer.runs.run_dir import CONFIG_FILE, RunDir
from trainer.tuner.search_dir import SEARCH_FILE
from trainer.tuner.service.search_state import read_search

FINISHED, INTERRUPTED, RUNNING, DAMAGED = "finished", "interrupted", "running", "damaged"
# A command that runs renews its lease every 10 s.
_RUNNING_S = 60.0

_PREPARED, _RUN, _SEARCH, _CROSSVAL = "prepared data", "run", "search", "crossval"
_MARKERS = {
    CONFIG_FILE: _RUN,
    SEARCH_FILE: _SEARCH,
    SETTINGS_FILE: _CROSSVAL,
    RESULT_FILE: _CROSSVAL,
    DATASET_INFO_FILE: _PREPARED,
    BUILD_FOLDER: _PREPARED,
}


@dataclass(frozen=True)
class Entry:
    """A row of the list.

    Attributes:
        path: The folder.
        kind: "prepared data", "run", "search" or "crossval".
        state: FINISHED, INTERRUPTED, RUNNING or DAMAGED.
        details: What it is: model and features, or the numbers of tracks and genres.
        score: The accuracy of tracks, or the objective of the best trial; None if there is none yet.
        score_of: What the score is of, such as "test", "validation" or "validation/track/accuracy".
        size_bytes: The size of its files.
        updated_s: When the latest of them was written, in seconds since 1970.
        resume: The command that continues it; None if it is finished or running, or needs its own command again.
    """

    path: str
    kind: str
    state: str
    details: str
    score: float | None
    score_of: str
    size_bytes: int
    updated_s: float
    resume: str | None


@dataclass(frozen=True)
class _Content:
    is_finished: bool
    details: str
    score: float | None = None
    score_of: str = ""
    resume: str | None = None


def read_entries(root: str, *, now_s: float) -> list[Entry]:
    """Returns what is below a folder, ordered by path.

    Args:
        root: A folder, local or gs://.
        now_s: The time in seconds since 1970.

    Raises:
        UserError: There is no such folder.
    """
    if not files.is_dir(root):
        raise UserError(f"{root} is no folder: expected one with runs, searches or prepared data")
    return [_read(folder, now_s=now_s) for folder in find_result_folders(root, _MARKERS)]


def _read(folder: ResultFolder, *, now_s: float) -> Entry:
    kind = next(kind for name, kind in _MARKERS.items() if name in folder.names)
    readers = {_RUN: _read_run, _SEARCH: _read_search, _CROSSVAL: _read_crossval, _PREPARED: _read_prepared}
    try:
        content = readers[kind](folder)
        state = FINISHED if content.is_finished else INTERRUPTED
    except (UserError, files.FileError) as error:
        content, state = _Content(is_finished=False, details=str(error)), DAMAGED
    if state == INTERRUPTED and LEASE_FILE in folder.names and now_s - folder.updated_s < _RUNNING_S:
        state = RUNNING
    return Entry(
        path=folder.path,
        kind=kind,
        state=state,
        details=content.details,
        score=content.score,
        score_of=content.score_of,
        size_bytes=folder.size_bytes,
        updated_s=folder.updated_s,
        resume=content.resume if state == INTERRUPTED else None,
    )


def _command(name: str, **settings: str) -> str:
    return shlex.join(["beamtune", name, *(f"{key}={value}" for key, value in settings.items())])


def _read_run(folder: ResultFolder) -> _Content:
    run = RunDir(folder.path)
    config, metrics = run.config(), run.metrics()
    is_finished = SUCCESS_FILE in folder.names
    resume = None if "learner" in config else _command("train", run_dir=folder.path)
    if metrics is None:
        model = config.get("model")
        name = model.get("name", "") if isinstance(model, dict) else config.get("learner", "")
        return _Content(is_finished, str(name), resume=resume)
    split = next((split for split in (TEST, VALIDATION) if split in metrics.levels), None)
    return _Content(
        is_finished,
        f"{metrics.model.name} on {' + '.join(metrics.model.features)}",
        score=None if split is None else metrics.levels[split][TRACK].accuracy,
        score_of=_marked(split or "", leak=metrics.split_leak),
        resume=resume,
    )


def _read_search(folder: ResultFolder) -> _Content:
    resume = _command("tune", search_dir=folder.path)
    if "state" not in folder.names:  # interrupted before the first trial
        return _Content(is_finished=False, details="", resume=resume)
    search = read_search(folder.path, with_all_histories=False)
    return _Content(
        search.is_finished,
        f"{search.algorithm}, {counted(len(search.trials), 'trial')}",
        score=None if search.best is None else search.best.score,
        score_of=search.objective,
        resume=resume,
    )


def _read_crossval(folder: ResultFolder) -> _Content:
    path = files.join(folder.path, RESULT_FILE)
    if RESULT_FILE not in folder.names:
        return _Content(is_finished=_has_finished_learners(folder), details="")
    try:
        content = json.loads(files.read_text(path))
        model = content["model"]
        return _Content(
            content["finished"],
            f"{model['name']} on {' + '.join(model['features'])}, {content['folds']} folds",
            score=float(content["mean"][TRACK]["accuracy"]) if content["mean"] else None,
            score_of=_marked(TEST, leak=content["split"]["leak"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error!r})") from error


def _has_finished_learners(folder: ResultFolder) -> bool:
    """Returns whether a cross-validation of several learners has the results of one of them."""
    return any(files.exists(files.join(folder.path, name, RESULT_FILE)) for name in sorted(folder.names))


def _read_prepared(folder: ResultFolder) -> _Content:
    if SUCCESS_FILE not in folder.names:
        return _Content(is_finished=False, details="")
    data = open_prepared(folder.path)
    num_tracks = sum(count for counts in data.stats.num_tracks.values() for count in counts.values())
    details = f"{data.info.name}: {counted(num_tracks, 'track')} of {counted(len(data.labels), 'genre')}"
    return _Content(is_finished=True, details=f"{details}, {', '.join(data.specs)}")


def _marked(split: str, *, leak: str | None) -> str:
    return split if leak is None or not split else f"{split}, leaky"


def sort_entries(entries: Sequence[Entry], *, by: str) -> list[Entry]:
    """Returns entries in one of the orders of `SORTS`; the sort is stable."""
    keys = {
        "path": lambda entry: 0.0,
        "updated": lambda entry: -entry.updated_s,
        "score": lambda entry: float("inf") if entry.score is None else -entry.score,
        "size": lambda entry: -entry.size_bytes,
    }
    return sorted(entries, key=keys[by])
