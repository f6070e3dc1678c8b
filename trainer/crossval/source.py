"""Reads the prepared data set that is divided into folds: its tables and its `prepare.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import TrackRecord, duplicates_from_json_lines, tracks_from_json_lines
from beam_pipelines.splits.find_duplicates import connected_groups
from trainer.data.prepared import PreparedData, open_prepared, read_metadata, read_prepare_yaml


@dataclass(frozen=True)
class Source:
    """All splits of a prepared data set.

    Attributes:
        data: Its metadata.
        preparation: How it was prepared.
        tracks: Its tracks, in the order of their segments in the shards of all splits.
        joined: For each group that shares a recording with others, the group that represents all of them.
    """

    data: PreparedData
    preparation: PrepareYaml
    tracks: Sequence[TrackRecord]
    joined: Mapping[str, str]

    @property
    def num_segments(self) -> int:
        """The number of segments of all splits."""
        return sum(track.num_segments for track in self.tracks)

    @property
    def num_bytes(self) -> int:
        """The size of the shards of all splits in bytes."""
        return sum(split.num_bytes for split in self.data.info.splits)


def open_source(directory: str) -> Source:
    """Reads the metadata and the tables of a prepared data set.

    Raises:
        UserError: There is no finished data set, or a table of it is missing or damaged.
    """
    data = open_prepared(directory)
    preparation = read_prepare_yaml(data.path)
    pairs = read_metadata(data.path, schema.DUPLICATES_FILE, duplicates_from_json_lines)
    source = Source(
        data=data,
        preparation=preparation,
        tracks=read_metadata(data.path, schema.TRACKS_FILE, tracks_from_json_lines),
        # Whichever splits they were in: another division might put them apart.
        joined=connected_groups([(pair.first.group, pair.second.group) for pair in pairs])
        if preparation.duplicates.mode != "report"
        else {},
    )
    num_examples = sum(split.num_examples for split in data.info.splits)
    if source.num_segments != num_examples:
        raise UserError(
            f"{data.path} has {num_examples} examples, but its {schema.TRACKS_FILE} lists {source.num_segments}: "
            "prepare the data again"
        )
    return source
