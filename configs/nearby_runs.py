"""Names finished runs and prepared data that are near, for the message of a command that lacks one."""

import glob
import os
from collections.abc import Iterable

from beam_pipelines.common.output_streams import shown_names

# Where the examples of the documentation put them: those of train, of quick and of the demo.
_PLACES = ("runs/*", "*/runs/*", "*/*/run")
_DATA_PLACES = ("prepared/*", "*/prepared", "*/*/prepared")


def nearby_runs() -> str:
    """Returns the end of a message, such as "; runs here: runs/b, runs/a", the latest first; "" without runs."""
    found = _finished(_PLACES, marker="config.yaml")
    return f"; runs here: {shown_names(found)}" if found else ""


def nearby_data() -> str:
    """Returns the end of a message, such as "; prepared data here: prepared/mine"; "" without such data."""
    found = _finished(_DATA_PLACES, marker="dataset_info.json")
    return f"; prepared data here: {shown_names(found)}" if found else ""


def runs_in(folder: str) -> list[str]:
    """Returns the finished runs in a local folder, the latest first."""
    return _finished([os.path.join(glob.escape(folder), "*")], marker="config.yaml")


def _finished(places: Iterable[str], *, marker: str) -> list[str]:
    """Returns the finished folders that have a file, the latest first."""
    paths = [path for place in places for path in glob.glob(os.path.join(place, "_SUCCESS"))]
    found = [os.path.dirname(path) for path in paths]
    found = [folder for folder in found if os.path.isfile(os.path.join(folder, marker))]
    return sorted(sorted(found), key=os.path.getmtime, reverse=True)
