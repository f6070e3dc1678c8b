"""Opens a prepared data set and checks it, before any training step."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from beam_pipelines.common.errors import UserError
from beam_pipelines.prepare.prepare_yaml import PrepareYaml, PrepareYamlError, parse_prepare_yaml
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import TrackRecord, tracks_from_json_lines
from trainer.common import files

_Content = TypeVar("_Content")
# What parsing damaged JSON raises, whatever it holds in place of an object.
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
# A run copies these files of its data set, so that prediction needs only the run. `_SUCCESS` is copied last.
METADATA_FILES = (
    schema.CONFIG_FILE,
    schema.FEATURES_FILE,
    schema.LABELS_FILE,
    schema.STATS_FILE,
    schema.DATASET_INFO_FILE,
    schema.SUCCESS_FILE,
)


@dataclass(frozen=True)
class Shard:
    """One TFRecord file.

    Attributes:
        path: Local or gs://.
        num_examples: Number of examples in the file.
    """

    path: str
    num_examples: int


@dataclass(frozen=True)
class PreparedData:
    """The metadata of a prepared data set.

    Attributes:
        path: The directory, local or gs://.
        cache_key: Changes whenever the content of the directory does.
        info: Name, splits and shards.
        specs: The stored features by name.
        labels: The genres; the label of an example is an index into this.
        stats: Counts and statistics.
    """

    path: str
    cache_key: str
    info: schema.DatasetInfo
    specs: Mapping[str, schema.FeatureSpec]
    labels: tuple[str, ...]
    stats: schema.DatasetStats

    @cached_property
    def preparation(self) -> PrepareYaml | None:
        """The settings that the data were prepared with, which are read once; None without a readable record."""
        return find_prepare_yaml(self.path)


def open_prepared(path: str) -> PreparedData:
    """Reads the metadata of a prepared data set.

    Raises:
        UserError: There is no such directory, it is not finished, it was prepared with another schema version, or a
            metadata file cannot be read.
    """
    # In this order, because each question about a bucket is a request.
    has_info = files.exists(files.join(path, schema.DATASET_INFO_FILE))
    if not has_info:
        if not files.exists(path):
            raise UserError(
                f"{path} does not exist: prepare a data set there first (beamtune prepare), or name another one with "
                "data_dir=…"
            )
        if files.exists(files.join(path, "config.yaml")):
            raise UserError(
                f"{path} is a run and not a prepared data set: expected what beamtune prepare has written; data_dir in "
                "its config.yaml is the data of the run"
            )
    success_path = files.join(path, schema.SUCCESS_FILE)
    if not files.exists(success_path):
        if has_info or files.exists(files.join(path, schema.BUILD_FOLDER)):
            raise UserError(
                f"{path} has no {schema.SUCCESS_FILE} and is not a finished data set: run beamtune prepare to its end"
            )
        raise UserError(
            f"{path} is not a prepared data set (it has no {schema.SUCCESS_FILE}): if it holds music, run beamtune "
            f"prepare dataset=folder dataset.root={path} output_dir=…, and give that folder as data_dir=…"
        )
    cache_key = schema.success_from_json(_read(path, schema.SUCCESS_FILE), directory=path)
    try:
        return PreparedData(
            path=path,
            cache_key=cache_key,
            info=schema.info_from_json(_read(path, schema.DATASET_INFO_FILE)),
            specs=schema.features_from_json(_read(path, schema.FEATURES_FILE)),
            labels=tuple(_read(path, schema.LABELS_FILE).splitlines()),
            stats=schema.stats_from_json(_read(path, schema.STATS_FILE)),
        )
    except _DAMAGED as error:
        raise UserError(f"a metadata file in {path} is damaged ({error!r}): prepare the data again") from error


def copy_metadata(data: PreparedData, *, to: str) -> None:
    """Copies the metadata into the directory `to`, which `open_prepared` then accepts although it has no shards."""
    files.make_dirs(to)
    for name in METADATA_FILES:
        files.write_text(files.join(to, name), _read(data.path, name))


def find_shards(data: PreparedData, split: str) -> list[Shard]:
    """Returns the shards of a split, in order.

    Raises:
        UserError: There is no such split, it has no examples, or one of its shards is missing.
    """
    split_info = data.info.split(split)
    if split_info.num_examples == 0:
        raise UserError(
            f"split {split} of {data.path} has no examples: prepare the data with more tracks or other split fractions"
        )
    present = set(files.list_dir(data.path))
    names = schema.shard_filenames(data.info.name, split_info)
    missing = [name for name in names if name not in present]
    if missing:
        raise UserError(f"{files.join(data.path, missing[0])} is missing: prepare the data again")
    return [
        Shard(path=files.join(data.path, name), num_examples=length)
        for name, length in zip(names, split_info.shard_lengths, strict=True)
    ]


def check_has_tracks(data: PreparedData) -> None:
    """Checks that the table of tracks exists, which scoring by track and group requires.

    Raises:
        UserError: It does not.
    """
    path = files.join(data.path, schema.TRACKS_FILE)
    if not files.exists(path):
        raise UserError(f"{path} is missing: prepare the data again")


def read_groups(data: PreparedData) -> dict[str, str]:
    """Returns the group of each track of all splits, such as its artist, by track id.

    Raises:
        UserError: The table of tracks is missing or damaged.
    """
    return {track.track_id: track.group for track in read_tracks(data)}


def read_tracks(data: PreparedData) -> list[TrackRecord]:
    """Returns the rows of the table of tracks, of all splits.

    Raises:
        UserError: The table is missing or damaged.
    """
    return read_metadata(data.path, schema.TRACKS_FILE, tracks_from_json_lines)


def read_prepare_yaml(directory: str) -> PrepareYaml:
    """Returns the settings that the data in a directory were prepared with.

    Raises:
        UserError: `prepare.yaml` is missing or damaged.
    """
    return read_metadata(directory, schema.CONFIG_FILE, parse_prepare_yaml)


def find_prepare_yaml(directory: str) -> PrepareYaml | None:
    """Returns the same, or None if there is no readable record: scores can be stated without it."""
    with suppress(UserError):
        return read_prepare_yaml(directory)
    return None


def read_metadata(directory: str, name: str, parse: Callable[[str], _Content]) -> _Content:
    """Returns the content of a metadata file.

    Args:
        directory: The prepared data.
        name: The name of the file.
        parse: Called with its text; raises KeyError, TypeError or ValueError if it is damaged.

    Raises:
        UserError: The file is missing or damaged.
    """
    text = _read(directory, name)
    try:
        return parse(text)
    except _DAMAGED as error:
        reason = str(error) if isinstance(error, PrepareYamlError) else repr(error)
        raise UserError(f"{files.join(directory, name)} is damaged ({reason}): prepare the data again") from error


def select_features(data: PreparedData, names: Sequence[str]) -> dict[str, schema.FeatureSpec]:
    """Returns the named features.

    Raises:
        UserError: One of them is not in the data.
    """
    key, choice = ("model.feature", "one") if len(names) == 1 else ("model.features", "some")
    for name in names:
        if name not in data.specs:
            raise UserError(
                f"{key}={','.join(names)}: {data.path} has no feature {name}, it has {', '.join(sorted(data.specs))}: "
                f"set {key} to {choice} of these, or prepare the data again with {name} among its features"
            )
    return {name: data.specs[name] for name in names}


def check_has_several_genres(data: PreparedData) -> None:
    """Checks that the train split has at least two genres.

    Raises:
        UserError: It does not.
    """
    counts = data.stats.num_segments.get(schema.TRAIN, {})
    present = [genre for genre, count in counts.items() if count > 0]
    if len(present) < 2:
        raise UserError(
            f"the train split of {data.path} has examples of {present[0] if present else 'no genre'} only: "
            "a classifier needs at least 2 genres"
        )


def _read(path: str, name: str) -> str:
    try:
        return files.read_text(files.join(path, name))
    except (files.FileError, UnicodeDecodeError) as error:
        raise UserError(f"{files.join(path, name)} cannot be read ({error}): prepare the data again") from error
