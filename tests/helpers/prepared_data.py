"""Prepared data sets of given examples, written with the code that writes real ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from beam_pipelines.features.config import MusicnnConfig
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import DuplicatePair, Reject, TrackRecord, json_lines
from beam_pipelines.records.record_index import encode_index
from beam_pipelines.records.tfrecord import write_record


def track_record(track_id: str, **fields: Any) -> TrackRecord:
    """Returns a line of `tracks.jsonl`: split, group, label, num_segments and what differs from the values below."""
    values: dict[str, Any] = {
        "uri": f"/music/{track_id}",
        "content_hash": f"hash of {track_id}",
        "duration_s": 2.0,
        "padded_s": 0.0,
        "cut_s": 0.0,
        "is_truncated": False,
        "rms_dbfs": -20.0,
        "peak_dbfs": -3.0,
        "num_silent_segments": 0,
    }
    return TrackRecord(track_id=track_id, **{**values, **fields})


def write_prepared_data(
    directory: Path,
    shards: Mapping[str, Sequence[Sequence[bytes]]],
    *,
    specs: Sequence[schema.FeatureSpec],
    labels: Sequence[str],
    tracks: Sequence[TrackRecord],
    config: Mapping[str, Any],
    stats: Mapping[str, schema.BandStats] | None = None,
    split_leak: str | None = None,
    cache_key: str = "abc",
    rejects: Sequence[Reject] = (),
    duplicates: Sequence[DuplicatePair] = (),
    name: str = "tiny",
) -> Path:
    """Writes a prepared directory and returns it.

    Args:
        directory: The directory; it may exist.
        shards: The serialised examples of each shard of each split.
        specs: The features of an example.
        labels: The genres in the order of their indices.
        tracks: The lines of `tracks.jsonl`.
        config: The settings of `prepare.yaml`.
        stats: The statistics of features, by name.
        split_leak: Why scores may be too high.
        cache_key: The key in `_SUCCESS` and `prepare.yaml`.
        rejects: The lines of `rejects.jsonl`.
        duplicates: The lines of `duplicates.jsonl`.
        name: The name of the data set.
    """
    directory.mkdir(parents=True, exist_ok=True)
    infos = [_write_split(directory, split, parts, name=name) for split, parts in shards.items()]
    num_segments: dict[str, Counter[str]] = {split: Counter(dict.fromkeys(labels, 0)) for split in shards}
    for track in tracks:
        num_segments[track.split][track.label] += track.num_segments
    prepare = {
        "schema_version": schema.SCHEMA_VERSION,
        "fingerprint": cache_key,
        "versions": {},
        "sources": {},
        "config": dict(config),
    }
    dataset_stats = schema.DatasetStats(
        split_source="group",
        split_leak=split_leak,
        audio_s={},
        num_tracks={},
        num_segments=num_segments,
        features=stats or {},
    )
    for filename, text in {
        schema.DATASET_INFO_FILE: schema.info_to_json(schema.DatasetInfo(name=name, splits=tuple(infos))),
        schema.FEATURES_FILE: schema.features_to_json(specs, num_classes=len(labels)),
        schema.LABELS_FILE: "".join(f"{label}\n" for label in labels),
        schema.STATS_FILE: schema.stats_to_json(dataset_stats),
        schema.CONFIG_FILE: yaml.safe_dump(prepare, sort_keys=False),
        schema.TRACKS_FILE: "".join(json_lines(tracks)),
        schema.REJECTS_FILE: "".join(json_lines(rejects)),
        schema.DUPLICATES_FILE: "".join(json_lines(duplicates)),
        schema.SUCCESS_FILE: schema.success_to_json(cache_key),
    }.items():
        (directory / filename).write_text(text, encoding="utf-8")
    return directory


def contaminate(directory: Path, *, feature: str) -> str:
    """Makes a feature one of a network that learned from the music of the data set; returns what is said of it.

    Args:
        directory: A prepared data set, or a run's copy of its metadata.
        feature: The name of the feature.
    """
    path = directory / schema.CONFIG_FILE
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["config"]["dataset"] = {"name": "csv", "path": "/music/magnatune.csv"}
    content["config"]["features"][feature] = asdict(MusicnnConfig(variant="mtt"))
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return (
        f"features.{feature}: MTT_musicnn learned from MagnaTagATune, which is music of Magnatune, which "
        "dataset.path=/music/magnatune.csv names: scores on this music are too high"
    )


def _write_split(directory: Path, split: str, shards: Sequence[Sequence[bytes]], *, name: str) -> schema.SplitInfo:
    num_bytes = 0
    for index, records in enumerate(shards):
        filename = schema.shard_filename(dataset_name=name, split=split, index=index, num_shards=len(shards))
        with (directory / filename).open("wb") as sink:
            ends = list(accumulate(write_record(sink, record) for record in records))
        (directory / schema.index_filename(filename)).write_bytes(encode_index(ends))
        num_bytes += sum(ends[-1:])
    return schema.SplitInfo(name=split, shard_lengths=tuple(map(len, shards)), num_bytes=num_bytes)
