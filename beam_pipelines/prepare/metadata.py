"""The metadata files of a prepared data set, made from the reports of all shards."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from beam_pipelines.datasets.track import EXCLUDED
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.prepare_yaml import prepare_yaml_text
from beam_pipelines.prepare.shard_report import FeatureSums, ShardReport
from beam_pipelines.records.json_lines import Reject, json_lines
from beam_pipelines.records.schema import (
    CONFIG_FILE,
    DATASET_INFO_FILE,
    DUPLICATES_FILE,
    FEATURES_FILE,
    LABELS_FILE,
    REJECTS_FILE,
    SPLITS,
    STATS_FILE,
    TRACKS_FILE,
    TRAIN,
    BandStats,
    DatasetInfo,
    DatasetStats,
    SplitInfo,
    features_to_json,
    info_to_json,
    stats_to_json,
)
from beam_pipelines.splits.assign import Assignment


def metadata_files(job: PrepareJob, build: FinishedBuild, *, left_out: Sequence[Reject]) -> dict[str, Iterable[str]]:
    """Returns the text of every metadata file except `_SUCCESS`, in pieces, by file name.

    Args:
        job: The preparation.
        build: The shards.
        left_out: Tracks that are in no shard, in addition to the rejects of the shards' reports.
    """
    config, labels, reports = job.config, job.labels, build.reports
    stats = dataset_stats(
        reports, labels=labels, segment_duration_s=config.segment.duration_s, assignment=build.assignment
    )
    return {
        DATASET_INFO_FILE: [info_to_json(dataset_info(reports, name=config.dataset.name))],
        FEATURES_FILE: [features_to_json(job.specs, num_classes=len(labels))],
        LABELS_FILE: (f"{label}\n" for label in labels),
        STATS_FILE: [stats_to_json(stats)],
        TRACKS_FILE: json_lines(track for report in reports for track in report.tracks),
        REJECTS_FILE: json_lines([*build.rejects, *left_out]),
        DUPLICATES_FILE: json_lines(build.resolution.pairs),
        CONFIG_FILE: [prepare_yaml_text(config, cache_key=job.cache_key)],
    }


def tracks_left_out(job: PrepareJob, build: FinishedBuild) -> list[Reject]:
    """Returns a reject for every track that is in no shard because of the split or of a duplicate, in order."""
    assignment, resolution = build.assignment, build.resolution
    rejects = []
    for track in job.tracks:
        split = assignment.split_of[track.track_id]
        if split == EXCLUDED:
            stage, reason, message = "split", "excluded", f"the {assignment.source} split leaves it out"
        elif track.track_id in resolution.left_out:
            kept = resolution.left_out[track.track_id]
            message = f"it holds the same recording as {kept}, which is in {assignment.split_of[kept]}"
            stage, reason = "duplicates", "duplicate"
        else:
            continue
        rejects.append(
            Reject(
                track_id=track.track_id,
                uri=track.uri,
                label=track.label,
                split=split,
                stage=stage,
                reason=reason,
                message=message,
                known_fault=track.known_fault,
            )
        )
    return rejects


def dataset_info(reports: Sequence[ShardReport], *, name: str) -> DatasetInfo:
    """Returns the content of `dataset_info.json`: the splits that have shards."""
    by_split = {split: [report for report in reports if report.split == split] for split in SPLITS}
    return DatasetInfo(
        name=name,
        splits=tuple(
            SplitInfo(
                name=split,
                shard_lengths=tuple(report.num_examples for report in members),
                num_bytes=sum(report.num_bytes for report in members),
            )
            for split, members in by_split.items()
            if members
        ),
    )


def dataset_stats(
    reports: Sequence[ShardReport], *, labels: Sequence[str], segment_duration_s: float, assignment: Assignment
) -> DatasetStats:
    """Returns the content of `stats.json`; statistics of features are those of the train split."""
    tracks = count_tracks(reports)
    num_segments = {split: Counter(dict.fromkeys(labels, 0)) for split in SPLITS}
    for report in reports:
        for track in report.tracks:
            num_segments[report.split][track.label] += track.num_segments
    sums: dict[str, FeatureSums] = {}
    for report in reports:
        if report.split == TRAIN:
            for name, shard_sums in report.feature_sums.items():
                sums[name] = sums[name] + shard_sums if name in sums else shard_sums
    return DatasetStats(
        split_source=assignment.source,
        split_leak=assignment.leak,
        audio_s={split: num_segments[split].total() * segment_duration_s for split in SPLITS},
        num_tracks={split: {label: tracks.get(split, {}).get(label, 0) for label in labels} for split in SPLITS},
        num_segments=num_segments,
        features={name: _band_stats(feature_sums) for name, feature_sums in sorted(sums.items())},
    )


def count_rejects(rejects: Iterable[Reject]) -> Mapping[str, int]:
    """Returns the number of rejected tracks by reason, the most frequent first."""
    return dict(Counter(reject.reason for reject in rejects).most_common())


def count_tracks(reports: Sequence[ShardReport]) -> Mapping[str, Mapping[str, int]]:
    """Returns the number of tracks by split and genre."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for report in reports:
        counts[report.split].update(track.label for track in report.tracks)
    return counts


def _band_stats(sums: FeatureSums) -> BandStats:
    means = [total / sums.num_frames for total in sums.total]
    # Rounding can make the variance of a constant band slightly negative.
    variances = [
        max(0.0, squares / sums.num_frames - mean * mean)
        for squares, mean in zip(sums.total_of_squares, means, strict=True)
    ]
    return BandStats(
        num_frames=sums.num_frames, mean=tuple(means), std=tuple(math.sqrt(variance) for variance in variances)
    )
