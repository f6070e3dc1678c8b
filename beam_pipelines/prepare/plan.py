"""The tracks of each shard, planned before any audio is read."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from operator import attrgetter

import numpy as np

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.library_versions import library_versions
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.records.schema import SCHEMA_VERSION, SPLITS, FeatureSpec, shard_filename
from beam_pipelines.splits.assign import keyed_order
from beam_pipelines.splits.config import FINGERPRINT_VERSION

# Bytes per second of audio by extension, to estimate lengths from sizes: 128 kbps for lossy formats, 16-bit stereo at
# 44.1 kHz for PCM, and two thirds of that for FLAC.
_LOSSY_BYTES_PER_S = 16_000
_PCM_BYTES_PER_S = 176_400
_BYTES_PER_S = {
    ".wav": _PCM_BYTES_PER_S,
    ".au": _PCM_BYTES_PER_S,
    ".aif": _PCM_BYTES_PER_S,
    ".aiff": _PCM_BYTES_PER_S,
    ".flac": _PCM_BYTES_PER_S * 2 // 3,
}
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
# `asdict` takes ten times as long, which matters for a million tracks.
_VALUES_OF_TRACK = attrgetter(*(field.name for field in fields(Track)))


@dataclass(frozen=True)
class ShardPlan:
    """One shard to build.

    Attributes:
        filename: Its file name in the prepared directory.
        split: Its split.
        tracks: The tracks whose segments it holds, in order.
        cache_key: Equal for plans that give the same bytes.
    """

    filename: str
    split: str
    tracks: tuple[Track, ...]
    cache_key: str


def plan_shards(
    tracks: Sequence[Track],
    split_of: Mapping[str, str],
    *,
    config: PrepareConfig,
    specs: Sequence[FeatureSpec],
    labels: Sequence[str],
) -> list[ShardPlan]:
    """Orders the tracks of each split by a keyed hash and cuts them into shards.

    Args:
        tracks: All tracks.
        split_of: The split of each track, by its id; tracks that are in none of `SPLITS` are left out.
        config: The seed, the shard sizes and the settings that the bytes of a shard depend on.
        specs: The features of an example, to estimate sizes.
        labels: The genres in the order of their indices.
    """
    shard_settings = {
        "schema_version": SCHEMA_VERSION,
        "versions": library_versions(config.features),
        "sources": source_hashes(config.features),
        "audio": asdict(config.audio),
        "segment": asdict(config.segment),
        "features": config.feature_settings(),
        "labels": list(labels),
        # The bytes do not depend on it, but acoustic fingerprints of two versions must not be compared.
        "acoustic_fingerprint": FINGERPRINT_VERSION,
        **_computations(config),
    }
    bytes_per_segment = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    members_of: dict[str, list[Track]] = {split: [] for split in SPLITS}
    for track in sorted(tracks, key=lambda track: (keyed_order(track.track_id, seed=config.seed), track.track_id)):
        if split_of[track.track_id] in members_of:
            members_of[split_of[track.track_id]].append(track)
    plans = []
    for split, members in members_of.items():
        total_bytes = sum(estimated_segments(track, config.segment) for track in members) * bytes_per_segment
        num_shards = max(math.ceil(total_bytes / config.shards.target_bytes), config.shards.min_shards)
        num_shards = min(num_shards, len(members))
        for index in range(num_shards):
            first, end = index * len(members) // num_shards, (index + 1) * len(members) // num_shards
            shard_tracks = tuple(members[first:end])
            content = {**shard_settings, "tracks": _hash_of_tracks(shard_tracks)}
            plans.append(
                ShardPlan(
                    filename=shard_filename(
                        dataset_name=config.dataset.name, split=split, index=index, num_shards=num_shards
                    ),
                    split=split,
                    tracks=shard_tracks,
                    cache_key=make_cache_key(content),
                )
            )
    return plans


def estimated_segments(track: Track, config: SegmentConfig) -> int:
    """Returns the number of segments of a track, estimated from the size of its file."""
    return max(1, 1 + int((estimated_duration_s(track) - config.duration_s) // config.hop_s))


def estimated_duration_s(track: Track) -> float:
    """Returns the length of a track in seconds, estimated from the size of its file."""
    return track.size_bytes / _BYTES_PER_S.get(extension(track), _LOSSY_BYTES_PER_S)


def extension(track: Track) -> str:
    """Returns the ending of a track's file, such as ".mp3"."""
    return "." + track.uri.rsplit(".", 1)[-1].lower()


def make_cache_key(content: object) -> str:
    """Returns a hash of a JSON value: the first 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(_ENCODER.encode(content).encode()).hexdigest()[:32]


def data_set_cache_key(tracks: Sequence[Track], config: PrepareConfig) -> str:
    """Returns the cache key of a whole data set: equal where the same files are prepared with the same settings."""
    return make_cache_key(
        {
            "schema_version": SCHEMA_VERSION,
            "versions": library_versions(config.features),
            "sources": source_hashes(config.features),
            "config": config.result_settings(),
            "tracks": _hash_of_tracks(tracks),
            **_computations(config),
        }
    )


def _computations(config: PrepareConfig) -> dict[str, dict[str, int]]:
    """Returns the ways in which features are computed; the first one is left out, as it is in keys of older data."""
    later = {name: one.computation() for name, one in config.features.items() if one.computation() > 1}
    return {"computations": later} if later else {}


def _hash_of_tracks(tracks: Sequence[Track]) -> str:
    """Returns a SHA-256 hash of all values of tracks, without building one text of a million of them."""
    digest = hashlib.sha256()
    for track in tracks:
        digest.update(_ENCODER.encode(_VALUES_OF_TRACK(track)).encode())
    return digest.hexdigest()
