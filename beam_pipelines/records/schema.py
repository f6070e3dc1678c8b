"""The schema of a prepared data set: file names, example entries, and the JSON files that describe them.

`dataset_info.json`, `features.json` and `label.labels.txt` are in the format of tensorflow-datasets, so that
`tfds.builder_from_directory` reads a prepared directory without this code. The functions convert between those texts
and frozen dataclasses and access no files: the pipeline writes them through Beam, the trainer reads them through
TensorFlow.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError

SCHEMA_VERSION = 2

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)

SUCCESS_FILE = "_SUCCESS"
DATASET_INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
LABELS_FILE = "label.labels.txt"
STATS_FILE = "stats.json"
REJECTS_FILE = "rejects.jsonl"
TRACKS_FILE = "tracks.jsonl"
DUPLICATES_FILE = "duplicates.jsonl"
CONFIG_FILE = "prepare.yaml"
BUILD_FOLDER = ".build"  # of an unfinished preparation
AUDIO_FOLDER = "audio"

# The names of shards and of their indices.
SHARD_PATTERN = re.compile(r"\w+-\w+\.(tfrecord|index)-\d{5}-of-\d{5}")

# Entries that every example has in addition to its features.
TRACK_ID, SEGMENT_INDEX, START_S, LABEL = "track_id", "segment_index", "start_s", "label"
RESERVED_ENTRIES = (TRACK_ID, SEGMENT_INDEX, START_S, LABEL)

# The limit of local file systems.
_MAX_NAME_BYTES = 255
# Parts of a track id that are not names of folders; "%" alone is not a percent code, so it is unambiguous.
_SAFE_PARTS = {"": "%", ".": "%2E", "..": "%2E%2E"}

_TFDS_FEATURES = "tensorflow_datasets.core.features"
_TFDS_VERSION = "1.0.0"


@dataclass(frozen=True)
class FeatureSpec:
    """One stored feature: the raw little-endian bytes of an array in an example.

    Attributes:
        name: The key of the feature in an example.
        shape: The shape of the array of one segment, e.g. (frames, bands).
        dtype: The numpy name of the stored type, e.g. "float16" or "int16".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class SplitInfo:
    """The shards of one split.

    Attributes:
        name: train, validation or test.
        shard_lengths: The number of examples in each shard, in the order of the shards.
        num_bytes: The total size of the shards.
    """

    name: str
    shard_lengths: tuple[int, ...]
    num_bytes: int

    @property
    def num_examples(self) -> int:
        return sum(self.shard_lengths)


@dataclass(frozen=True)
class DatasetInfo:
    """The content of `dataset_info.json`: the name, and the splits with their shards."""

    name: str
    splits: tuple[SplitInfo, ...]

    def has_split(self, name: str) -> bool:
        """Returns whether the data set has examples of a split."""
        return any(split.name == name and split.num_examples > 0 for split in self.splits)

    def split(self, name: str) -> SplitInfo:
        """Returns the split `name`.

        Raises:
            UserError: The data set has no split of that name.
        """
        for split in self.splits:
            if split.name == name:
                return split
        present = ", ".join(split.name for split in self.splits)
        raise UserError(
            f"there is no split {name!r} in data set {self.name!r}: it has {present}; to add it, prepare the data "
            "with other split fractions"
        )


@dataclass(frozen=True)
class BandStats:
    """Mean and standard deviation of a feature over all frames of the train split, one value per band (last axis).

    Attributes:
        num_frames: Number of frames.
        mean: The mean of each band.
        std: The standard deviation of each band.
        has_floors: Whether deviations near 0 are raised, so that values can be divided by them. Not saved.
    """

    num_frames: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    has_floors: bool = False


@dataclass(frozen=True)
class DatasetStats:
    """The content of `stats.json`.

    Attributes:
        split_source: The origin of the splits: official, fault_filtered, group, folds, random or random_segments.
        split_leak: Why scores on these splits may be too high, as a sentence, or None.
        audio_s: Seconds of audio in the segments of each split.
        num_tracks: Tracks with at least one segment, by split and genre.
        num_segments: Segments by split and genre.
        features: Statistics of each feature over the train split.
    """

    split_source: str
    split_leak: str | None
    audio_s: Mapping[str, float]
    num_tracks: Mapping[str, Mapping[str, int]]
    num_segments: Mapping[str, Mapping[str, int]]
    features: Mapping[str, BandStats]


def shard_filename(*, dataset_name: str, split: str, index: int, num_shards: int) -> str:
    """Returns the name of a shard, e.g. "mine-train.tfrecord-00003-of-00016"."""
    return f"{dataset_name}-{split}.tfrecord-{index:05d}-of-{num_shards:05d}"


def shard_filenames(dataset_name: str, split: SplitInfo) -> list[str]:
    """Returns the names of all shards of a split, in order."""
    num_shards = len(split.shard_lengths)
    return [
        shard_filename(dataset_name=dataset_name, split=split.name, index=index, num_shards=num_shards)
        for index in range(num_shards)
    ]


def index_filename(shard: str) -> str:
    """Returns the name or path of the index of a shard, e.g. "mine-train.index-00003-of-00016".

    It does not match "*.tfrecord-*", which finds the shards.
    """
    start, _, end = shard.rpartition(".tfrecord-")
    return f"{start}.index-{end}"


def kept_audio_path(track_id: str) -> str:
    """Returns the path of a track's WAV copy below the prepared directory, unique for every track.

    A track id may be any path, also an absolute one or one with "..": parts that lead outside are percent-encoded.
    Parts that are too long for a file system end with a hash in place of their last characters.
    """
    *folders, name = [_SAFE_PARTS.get(part, part.replace("%", "%25")) for part in track_id.split("/")]
    parts = [*(_shortened(folder) for folder in folders), _shortened(f"{name}.wav", ending=".wav")]
    return "/".join([AUDIO_FOLDER, *parts])


def _shortened(name: str, *, ending: str = "") -> str:
    data = name.encode()
    if len(data) <= _MAX_NAME_BYTES:
        return name
    # "%~" is in no name that is not shortened: a percent sign becomes "%25".
    tail = f"%~{hashlib.sha256(data).hexdigest()[:16]}{ending}"
    return data[: _MAX_NAME_BYTES - len(tail)].decode(errors="ignore") + tail


def features_to_json(features: Sequence[FeatureSpec], *, num_classes: int) -> str:
    """Returns the text of `features.json`: the entries of an example in the format of tensorflow-datasets."""
    entries: dict[str, object] = {
        TRACK_ID: {"pythonClassName": f"{_TFDS_FEATURES}.text_feature.Text", "text": {}},
        SEGMENT_INDEX: _scalar_json("int64"),
        START_S: _scalar_json("float32"),
        LABEL: {
            "pythonClassName": f"{_TFDS_FEATURES}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(num_classes)},
        },
    }
    for spec in features:
        dimensions = [str(size) for size in spec.shape]
        entries[spec.name] = {
            "pythonClassName": f"{_TFDS_FEATURES}.tensor_feature.Tensor",
            "tensor": {"shape": {"dimensions": dimensions}, "dtype": spec.dtype, "encoding": "bytes"},
        }
    return _to_json_text(
        {
            "pythonClassName": f"{_TFDS_FEATURES}.features_dict.FeaturesDict",
            "featuresDict": {"features": entries},
        }
    )


def features_from_json(text: str) -> dict[str, FeatureSpec]:
    """Returns the array features in `features.json`, by name."""
    entries = json.loads(text)["featuresDict"]["features"]
    specs = {}
    for name, entry in entries.items():
        tensor = entry.get("tensor")
        if tensor is None or tensor["encoding"] != "bytes":
            continue
        shape = tuple(int(size) for size in tensor["shape"]["dimensions"])
        specs[name] = FeatureSpec(name=name, shape=shape, dtype=tensor["dtype"])
    return specs


def info_to_json(info: DatasetInfo) -> str:
    """Returns the text of `dataset_info.json` in the format of tensorflow-datasets."""
    return _to_json_text(
        {
            "name": info.name,
            "version": _TFDS_VERSION,
            "fileFormat": "tfrecord",
            "splits": [
                {
                    "name": split.name,
                    "numBytes": str(split.num_bytes),
                    "shardLengths": [str(length) for length in split.shard_lengths],
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                }
                for split in info.splits
            ],
        }
    )


def info_from_json(text: str) -> DatasetInfo:
    """Parses `dataset_info.json`."""
    content = json.loads(text)
    splits = tuple(
        SplitInfo(
            name=split["name"],
            shard_lengths=tuple(int(length) for length in split["shardLengths"]),
            num_bytes=int(split["numBytes"]),
        )
        for split in content["splits"]
    )
    return DatasetInfo(name=content["name"], splits=splits)


def stats_to_json(stats: DatasetStats) -> str:
    """Returns the text of `stats.json`."""
    return _to_json_text(
        {
            "split": {"source": stats.split_source, "leak": stats.split_leak},
            "audio_s": dict(stats.audio_s),
            "num_tracks": {split: dict(counts) for split, counts in stats.num_tracks.items()},
            "num_segments": {split: dict(counts) for split, counts in stats.num_segments.items()},
            "features": {
                name: {"num_frames": band.num_frames, "mean": list(band.mean), "std": list(band.std)}
                for name, band in stats.features.items()
            },
        }
    )


def stats_from_json(text: str) -> DatasetStats:
    """Parses `stats.json`."""
    content = json.loads(text)
    features = {
        name: BandStats(num_frames=band["num_frames"], mean=tuple(band["mean"]), std=tuple(band["std"]))
        for name, band in content["features"].items()
    }
    return DatasetStats(
        split_source=content["split"]["source"],
        split_leak=content["split"]["leak"],
        audio_s=content["audio_s"],
        num_tracks=content["num_tracks"],
        num_segments=content["num_segments"],
        features=features,
    )


def success_to_json(cache_key: str) -> str:
    """Returns the text of `_SUCCESS`, whose presence means that all other files are complete."""
    return _to_json_text({"schema_version": SCHEMA_VERSION, "fingerprint": cache_key})


def success_from_json(text: str, *, directory: str) -> str:
    """Returns the cache key in `_SUCCESS`.

    Raises:
        UserError: The file is damaged, or the directory was prepared with another version of the schema.
    """
    try:
        content = json.loads(text)
        version, cache_key = content["schema_version"], content["fingerprint"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{directory}/{SUCCESS_FILE} was not written by beamtune: prepare the data again, with overwrite=true"
        ) from error
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{directory} was prepared with schema version {version}, and this beamtune reads version "
            f"{SCHEMA_VERSION}: prepare the data again"
        )
    return str(cache_key)


def _scalar_json(dtype: str) -> dict[str, object]:
    return {
        "pythonClassName": f"{_TFDS_FEATURES}.scalar.Scalar",
        "tensor": {"shape": {}, "dtype": dtype, "encoding": "none"},
    }


def _to_json_text(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
