"""What the page says of the data: sources, splits, groups, tracks left out, and duplicates."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import SPLITS
from trainer.data.prepared import PreparedData, open_prepared
from trainer.explore.dataset_summary import summarize
from trainer.explore.prepared_tables import Tables, read_tables


@dataclass(frozen=True)
class FoundData:
    """The prepared data set of a run, where it is still there.

    Attributes:
        data_dir: Where it is looked for.
        tables: Its tables; None where it is missing.
        problem: Why it is missing, or None.
    """

    data_dir: str
    tables: Tables | None
    problem: str | None


def find_data(saved_dir: str, *, given_dir: str | None, cache_key: str) -> FoundData:
    """Returns the prepared data set of a run.

    Args:
        saved_dir: Where the run found it.
        given_dir: Where it is now, or None.
        cache_key: The key that it had.

    Raises:
        UserError: `given_dir` is another data set, or none.
    """
    data_dir = saved_dir if given_dir is None else given_dir
    try:
        data = open_prepared(data_dir)
        if data.cache_key != cache_key:
            raise UserError(f"{data_dir} was prepared again with other content: give data_dir=… of the earlier one")
        return FoundData(data_dir=data_dir, tables=read_tables(data_dir), problem=None)
    except UserError as error:
        if given_dir is not None:
            raise UserError(f"data_dir={given_dir}: {error}") from error
        return FoundData(data_dir=data_dir, tables=None, problem=str(error))


def data_card(data: PreparedData, found: FoundData, *, prepare_text: str) -> dict[str, Any]:
    """Returns the section of the data: from the run's own copy of the metadata, and from the data set if it is there.

    Args:
        data: The run's copy, or the data set.
        found: The data set.
        prepare_text: The text of `prepare.yaml`.
    """
    stats = data.stats
    splits = [split for split in SPLITS if any(stats.num_segments.get(split, {}).values())]
    card: dict[str, Any] = {
        "name": data.info.name,
        "path": found.data_dir,
        "problem": found.problem,
        "source": _source(prepare_text),
        "split_source": stats.split_source,
        "splits": splits,
        "genres": [_genre_row(label, splits, data) for label in data.labels],
        "totals": {
            "tracks": {split: sum(stats.num_tracks.get(split, {}).values()) for split in splits},
            "segments": {split: sum(stats.num_segments.get(split, {}).values()) for split in splits},
        },
        "audio_hours": {split: stats.audio_s.get(split, 0.0) / 3600 for split in splits},
        "num_groups": None,
        "crossing_groups": None,
        "rejects": None,
        "duplicates": None,
    }
    return card if found.tables is None else {**card, **_from_tables(found.tables, genres=data.labels)}


def _source(prepare_text: str) -> dict[str, str]:
    """Returns the settings of the data set that was prepared, as text."""
    content = yaml.safe_load(prepare_text)
    dataset = content.get("config", {}).get("dataset", {}) if isinstance(content, Mapping) else {}
    return {str(key): str(value) for key, value in dataset.items() if value is not None}


def _genre_row(label: str, splits: Sequence[str], data: PreparedData) -> dict[str, Any]:
    return {
        "genre": label,
        "tracks": {split: data.stats.num_tracks.get(split, {}).get(label, 0) for split in splits},
        "segments": {split: data.stats.num_segments.get(split, {}).get(label, 0) for split in splits},
    }


def _from_tables(tables: Tables, *, genres: Sequence[str]) -> dict[str, Any]:
    summary = summarize(tables.tracks, genres=genres)
    pairs = tables.duplicates
    return {
        "num_groups": dict(summary.num_groups) if tables.has_groups else None,
        "crossing_groups": len(summary.crossing_groups) if tables.has_groups else None,
        "rejects": [
            {"reason": reason, "num_tracks": count}
            for reason, count in Counter(reject.reason for reject in tables.rejects).most_common()
        ],
        "duplicates": None
        if pairs is None
        else [
            {"kind": kind, "outcome": outcome, "num_pairs": count}
            for (kind, outcome), count in sorted(Counter((pair.kind, pair.outcome) for pair in pairs).items())
        ],
    }
