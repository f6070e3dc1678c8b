"""One preparation, and the result of building its shards. Without Beam."""

from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.datasets.track import Track
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import Resolution


@dataclass(frozen=True)
class PrepareJob:
    """One preparation.

    Attributes:
        config: The settings.
        tracks: All tracks of the data set.
        official_split: The name of the split that the tracks have, where the data set names one.
        labels: The genres in the order of their indices.
        specs: The features of an example.
        cache_key: Depends on the settings and on the list of files.
    """

    config: PrepareConfig
    tracks: Sequence[Track]
    official_split: str
    labels: Sequence[str]
    specs: Sequence[FeatureSpec]
    cache_key: str


@dataclass(frozen=True)
class FinishedBuild:
    """All shards of a data set, built.

    Attributes:
        assignment: The splits.
        resolution: The duplicates and how they are handled.
        reports: The shards' reports, in the order of the shards.
    """

    assignment: Assignment
    resolution: Resolution
    reports: Sequence[ShardReport]

    @property
    def rejects(self) -> list[Reject]:
        """The tracks that the shards' reports reject."""
        return [reject for report in self.reports for reject in report.rejects]
