"""Writes a fold as a prepared data set: copies serialised examples unchanged, in constant memory."""

import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.prepare.metadata import dataset_info, dataset_stats
from beam_pipelines.prepare.plan import make_cache_key
from beam_pipelines.prepare.prepare_yaml import fold_yaml_text
from beam_pipelines.prepare.shard_report import RunningSums, ShardReport
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import json_lines
from beam_pipelines.records.record_index import encode_index
from beam_pipelines.records.tfrecord import write_record
from beam_pipelines.splits.assign import Assignment
from trainer.common import files
from trainer.crossval.folds import Partition, PlannedShard, plan_fold
from trainer.crossval.source import Source
from trainer.data.batches import shard_read_errors
from trainer.data.parsing import parse_examples, read_records
from trainer.data.prepared import Shard, find_shards, read_metadata

# Examples read and parsed at a time.
_BATCH_SIZE = 256
# Files that are the same in all folds.
_COPIED_FILES = (schema.FEATURES_FILE, schema.LABELS_FILE, schema.REJECTS_FILE, schema.DUPLICATES_FILE)


@dataclass(frozen=True)
class FoldKey:
    """What the content of a fold depends on, besides the data.

    Attributes:
        num_folds: The number of folds.
        fold: The index of the fold that is the test split.
        split_by: "group", "track" or "segment".
        split_seed: The seed of the folds.
    """

    num_folds: int
    fold: int
    split_by: str
    split_seed: int

    def cache_key(self, source_cache_key: str) -> str:
        """Returns the cache key of the fold of a data set."""
        return make_cache_key({"schema_version": schema.SCHEMA_VERSION, "source": source_cache_key, **asdict(self)})


def is_written(directory: str, key: FoldKey, *, source: Source) -> bool:
    """Returns whether a directory contains this fold, complete.

    Raises:
        UserError: It contains other data.
    """
    path = files.join(directory, schema.SUCCESS_FILE)
    if not files.exists(path):
        return False
    if schema.success_from_json(files.read_text(path), directory=directory) != key.cache_key(source.data.cache_key):
        raise UserError(
            f"{directory} contains a fold of other data or of other settings: choose another output_dir or folds_dir"
        )
    return True


def write_fold(
    directory: str, key: FoldKey, *, source: Source, partition: Partition, on_batch: Callable[[], None]
) -> None:
    """Writes a fold, `_SUCCESS` last. The same fold has the same bytes in every directory.

    Args:
        directory: The directory, local or gs://; files of an interrupted attempt are replaced.
        key: The fold.
        source: The data set.
        partition: The folds of its segments.
        on_batch: Called before each batch; may raise an error to stop.

    Raises:
        UserError: The directory cannot be written, or a shard of the source is missing.
        RunFailedError: A shard is damaged, or does not contain the tracks in `tracks.jsonl`.
    """
    try:
        files.make_dirs(directory)
        remove_examples(directory)
    except files.FileError as error:
        raise UserError(f"the fold {directory} cannot be written: {error.message}") from error
    with ProgressReporter(f"writing fold {key.fold}", total=source.num_segments, unit="segments") as progress:
        reports = _copy_examples(
            directory, key, source=source, partition=partition, progress=progress, on_batch=on_batch
        )
    for name, text in _metadata(reports, key, source=source, partition=partition).items():
        files.write_text(files.join(directory, name), text)
    success = schema.success_to_json(key.cache_key(source.data.cache_key))
    files.write_text(files.join(directory, schema.SUCCESS_FILE), success)


def remove_examples(directory: str) -> None:
    """Removes the shards of a fold, `_SUCCESS` first; keeps its metadata."""
    names = files.list_if_exists(directory)
    shards = [name for name in names if schema.SHARD_PATTERN.fullmatch(name)]
    for name in ([schema.SUCCESS_FILE] if schema.SUCCESS_FILE in names else []) + shards:
        files.remove(files.join(directory, name))


class _SplitWriter:
    """Writes the examples of one split to its planned shards, one after the other.

    The open shard is in a stack of the caller, which closes it after an error.
    """

    def __init__(self, directory: str, shards: Sequence[PlannedShard], *, open_shard: ExitStack) -> None:
        self._directory = directory
        self._waiting = iter(shards)
        self._shard: PlannedShard | None = None
        self._open_shard = open_shard
        self._sink: Any = None
        self._record_ends = array.array("Q")
        self._sums: defaultdict[str, RunningSums] = defaultdict(RunningSums)
        self.reports: list[ShardReport] = []

    def add(self, record: bytes, features: Mapping[str, NDArray[Any]]) -> None:
        """Writes an example, and adds these features of it to the statistics of its shard."""
        if self._shard is None:
            self._shard = next(self._waiting)
            path = files.join(self._directory, self._shard.filename)
            with files.file_errors(path):
                self._sink = self._open_shard.enter_context(files.open_to_write(path))
        with files.file_errors(self._directory):
            size = write_record(self._sink, record)
        self._record_ends.append(size + (self._record_ends[-1] if self._record_ends else 0))
        for name, values in features.items():
            self._sums[name].add(values)
        if len(self._record_ends) == self._shard.num_examples:
            self._finish_shard(self._shard)

    def _finish_shard(self, shard: PlannedShard) -> None:
        with files.file_errors(self._directory):
            self._open_shard.close()
            index_path = files.join(self._directory, schema.index_filename(shard.filename))
            files.write_bytes(index_path, encode_index(self._record_ends))
        self.reports.append(
            ShardReport(
                filename=shard.filename,
                split=shard.split,
                cache_key="",
                num_examples=len(self._record_ends),
                num_bytes=self._record_ends[-1],
                tracks=shard.tracks,
                rejects=(),
                feature_sums={name: sums.result() for name, sums in self._sums.items()},
            )
        )
        self._shard, self._record_ends = None, array.array("Q")
        self._sums.clear()


def _copy_examples(
    directory: str,
    key: FoldKey,
    *,
    source: Source,
    partition: Partition,
    progress: ProgressReporter,
    on_batch: Callable[[], None],
) -> list[ShardReport]:
    """Copies all examples of the source to the splits of the fold; returns a report of each new shard, in order."""
    planned = plan_fold(source, partition, key.fold)
    split_of_segment = partition.split_of_segment(key.fold)
    num_done = 0
    with ExitStack() as stack:
        writers = [
            _SplitWriter(
                directory,
                [shard for shard in planned if shard.split == split],
                open_shard=stack.enter_context(ExitStack()),
            )
            for split in schema.SPLITS
        ]
        for records, features in _read_batches(source):
            on_batch()
            splits = split_of_segment[num_done : num_done + len(records)].tolist()
            for index, (record, split) in enumerate(zip(records, splits, strict=True)):
                # Statistics are of the train split only.
                is_train = schema.SPLITS[split] == schema.TRAIN
                writers[split].add(
                    record, {name: values[index] for name, values in features.items()} if is_train else {}
                )
            num_done += len(records)
            progress.update(completed=num_done)
    return [report for writer in writers for report in writer.reports]


def _read_batches(source: Source) -> Iterator[tuple[Sequence[bytes], Mapping[str, NDArray[Any]]]]:
    """Yields serialised examples and their features, (batch, *shape), of all shards, one shard after the other.

    Raises:
        UserError: A shard is missing.
        RunFailedError: A shard is damaged, or does not contain the tracks in `tracks.jsonl`.
    """
    expected_ids = (track.track_id.encode() for track in source.tracks for _ in range(track.num_segments))
    for split in source.data.info.splits:
        for shard in find_shards(source.data, split.name) if split.num_examples > 0 else ():
            with shard_read_errors([shard]):
                for records, parsed in _batches_of(shard, source):
                    track_ids = parsed.track_ids.numpy()
                    for track_id, expected_id in zip(track_ids, expected_ids, strict=False):
                        if track_id != expected_id:
                            raise RunFailedError(
                                f"{shard.path} contains {track_id.decode()!r} where {schema.TRACKS_FILE} has "
                                f"{expected_id.decode()!r}: prepare the data again"
                            )
                    yield records.numpy(), {name: values.numpy() for name, values in parsed.features.items()}


def _batches_of(shard: Shard, source: Source) -> Any:
    # In the order of the file, in which the segments of a track are contiguous.
    return (
        read_records([shard])
        .batch(_BATCH_SIZE)
        .map(lambda records: (records, parse_examples(records, source.data.specs)))
        .prefetch(1)
    )


def _metadata(reports: Sequence[ShardReport], key: FoldKey, *, source: Source, partition: Partition) -> dict[str, str]:
    """Returns the texts of the metadata files, by name."""
    stats = dataset_stats(
        reports,
        labels=source.data.labels,
        segment_duration_s=source.preparation.segment.duration_s,
        assignment=Assignment(source=partition.split_source, split_of={}, leak=partition.split_leak),
    )
    return {
        **{name: read_metadata(source.data.path, name, str) for name in _COPIED_FILES},
        schema.DATASET_INFO_FILE: schema.info_to_json(dataset_info(reports, name=source.data.info.name)),
        schema.STATS_FILE: schema.stats_to_json(stats),
        schema.TRACKS_FILE: "".join(json_lines(track for report in reports for track in report.tracks)),
        schema.CONFIG_FILE: _prepare_yaml(key, source=source),
    }


def _prepare_yaml(key: FoldKey, *, source: Source) -> str:
    return fold_yaml_text(
        source.preparation,
        cache_key=key.cache_key(source.data.cache_key),
        fold={"source_fingerprint": source.data.cache_key, **asdict(key)},
    )
