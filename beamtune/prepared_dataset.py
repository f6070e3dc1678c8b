"""A prepared data set in Python: its splits as `tf.data`, its tracks as rows."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from beam_pipelines.common.checks import check, check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS, DatasetStats, FeatureSpec
from beamtune.settings import path_text
from trainer.data import prepared
from trainer.data.parsing import parse_examples, read_records, reading_options

# Examples parsed at a time where the caller asks for no batches.
_PARSED_EXAMPLES = 256


class PreparedDataset:
    """A data set that `beamtune.prepare` or `beamtune prepare` wrote. Made by `beamtune.open_prepared`.

    Attributes:
        path: The directory, local or gs://.
        labels: The genres; a label of an example is an index into this.
        features: The stored features by name, each with its `shape` and `dtype` for one segment.
        stats: Counts by split and genre, and the mean and standard deviation of each feature over the train split.
    """

    def __init__(self, path: str) -> None:
        self._data = prepared.open_prepared(path)
        self.path = path
        self.labels: tuple[str, ...] = self._data.labels
        self.features: Mapping[str, FeatureSpec] = self._data.specs
        self.stats: DatasetStats = self._data.stats

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split.name} {split.num_examples}" for split in self._data.info.splits)
        return f"<beamtune.PreparedDataset {self.path}: {sizes} segments, {', '.join(self.features)}>"

    def split(self, name: str, *, features: Sequence[str] | None = None, batch_size: int | None = None) -> Any:
        """Returns the segments of a split as a `tf.data.Dataset` of (features, label), always in the same order.

        Args:
            name: train, validation or test.
            features: The names of the features to read; None reads all.
            batch_size: Segments in a batch, of which the last may be smaller; None gives single segments.

        Returns:
            A data set of known length. An element is ({name: tensor}, label): tensors in the stored shape and dtype
            (see `features`), labels as int64; with `batch_size`, all have a leading axis. Iterating raises
            `tf.errors.FailedPreconditionError` or `DataLossError` if a shard is damaged.

        Raises:
            UserError: There is no such split or feature, the split is empty, or a shard is missing.

        Examples:
            >>> import beamtune
            >>> data = beamtune.open_prepared("prepared")
            >>> batches = data.split("train", features=["log_mel"], batch_size=32)
            >>> features, labels = next(iter(batches))
            >>> features["log_mel"].shape, labels.shape
            (TensorShape([32, 94, 128]), TensorShape([32]))
            >>> features, label = next(iter(data.split("train")))
            >>> features["log_mel"].shape
            TensorShape([94, 128])
        """
        check_choice(name, SPLITS, key="split")
        if isinstance(features, str):
            raise UserError(f"features={features!r}: expected a list of names, e.g. [{features!r}]")
        names = list(self.features) if features is None else list(features)
        check(len(names) > 0, key="features", value=names, expected=f"some of {', '.join(self.features)}, or None")
        for feature in names:
            check_choice(feature, list(self.features), key="features")
        if batch_size is not None:
            check(batch_size >= 1, key="batch_size", value=batch_size, expected="at least 1, or None")
        shards = prepared.find_shards(self._data, name)
        num_examples = sum(shard.num_examples for shard in shards)
        specs = {feature: self.features[feature] for feature in names}

        def parse(records: Any) -> Any:
            examples = parse_examples(records, specs)
            return examples.features, examples.labels

        batches = (
            read_records(shards)
            .batch(batch_size or _PARSED_EXAMPLES)
            .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
            .with_options(reading_options())
        )
        if batch_size is None:
            return batches.unbatch().apply(tf.data.experimental.assert_cardinality(num_examples))
        return batches.apply(tf.data.experimental.assert_cardinality(-(-num_examples // batch_size)))

    def tracks(self) -> list[TrackRecord]:
        """Returns the table of tracks of all splits, a frozen dataclass for each; pandas.DataFrame takes the list.

        Raises:
            UserError: The table is missing or damaged.

        Examples:
            >>> import beamtune
            >>> tracks = beamtune.open_prepared("prepared").tracks()
            >>> sorted({track.split for track in tracks})
            ['test', 'train', 'validation']
            >>> tracks[0].duration_s, tracks[0].num_segments
            (12.0, 4)
        """
        return prepared.read_tracks(self._data)


def open_prepared(path: str | os.PathLike[str]) -> PreparedDataset:
    """Opens a prepared data set.

    Args:
        path: Its directory, local or gs://.

    Raises:
        UserError: There is no finished data set, or it was prepared with another schema version.

    Examples:
        >>> import beamtune
        >>> data = beamtune.open_prepared("prepared")
        >>> data.labels
        ('blues', 'funk', 'reggae', 'techno', 'waltz')
        >>> data.features["log_mel"].shape
        (94, 128)
        >>> data.stats.num_tracks["test"]["techno"]
        2
    """
    return PreparedDataset(path_text(path, name="path"))
