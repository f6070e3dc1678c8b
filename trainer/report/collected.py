"""What a report is made of: its content, which `report.json` holds, and where the audio of its tracks is."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.paths import is_local
from trainer.report.data_card import FoundData

RUN, CROSSVAL, SEARCH, BASELINES = "run", "crossval", "search", "baselines"


@dataclass(frozen=True)
class Collected:
    """The content of a report.

    Attributes:
        content: All that the page shows but excerpts, of what JSON holds.
        track_ids: The tracks with an excerpt.
        data: The data set; None where a report has no tracks.
    """

    content: Mapping[str, Any]
    track_ids: Sequence[str] = ()
    data: FoundData | None = None


def name_of(path: str) -> str:
    """Returns the name of a directory, local or gs://."""
    return os.path.basename(os.path.abspath(path) if is_local(path) else path.rstrip("/"))


def are_groups_apart(split_source: str, leak: str | None) -> bool:
    """Returns whether the splits are known to keep groups, such as artists, apart."""
    return leak is None and split_source in ("group", "folds")
