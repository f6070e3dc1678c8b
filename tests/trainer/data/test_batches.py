"""The content and the order of batches."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from trainer.data.augment import make_augmenter
from trainer.data.batches import TrainStream, count_steps, scoring_batches
from trainer.data.config import AugmentConfig, StreamConfig
from trainer.data.prepared import Shard, find_shards, open_prepared

MakeRows = Callable[..., list[Any]]
STRATEGY = tf.distribute.get_strategy()
EVERYTHING = AugmentConfig(
    freq_masks=2,
    freq_mask_max_share=0.2,
    time_masks=1,
    time_mask_max_share=0.3,
    mixup_alpha=0.5,
    crop_min_share=0.5,
    gain_db=6.0,
    time_shift_max_share=0.5,
)


class OnePipeline:
    """Simulates one input pipeline of a strategy, for data sets only."""

    def __init__(self, pipeline: int, *, num_pipelines: int = 2, num_replicas: int = 2) -> None:
        self._context = tf.distribute.InputContext(num_pipelines, pipeline, num_replicas)

    def distribute_datasets_from_function(self, dataset_function: Any) -> Any:
        return dataset_function(self._context)


def make_stream(
    directory: Path,
    *,
    cache: bool = True,
    batch_size: int = 8,
    augment: AugmentConfig | None = None,
    device: str | None = None,
    **options: Any,
) -> TrainStream:
    data = open_prepared(str(directory))
    config = StreamConfig(**{"global_batch_size": batch_size, "cache": cache, "shuffle_buffer_examples": 16, **options})
    return TrainStream(
        find_shards(data, "train"),
        config,
        specs=data.specs,
        num_classes=len(data.labels),
        augmenter=None if augment is None else make_augmenter(augment, data=data, specs=data.specs),
        device=device,
    )


def arrays(batches: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns features and targets of all batches."""
    return [(batch.features["log_mel"].numpy(), batch.targets.numpy()) for batch in batches]


def joined(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the concatenated features and targets of all batches."""
    features, targets = zip(*arrays(batches), strict=True)
    return np.concatenate(features), np.concatenate(targets)


def assert_equal(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    for found_part, expected_part in zip(found, expected, strict=True):
        assert found_part.dtype == expected_part.dtype
        np.testing.assert_array_equal(found_part, expected_part)


def keys(batches: Any) -> list[float]:
    """Returns a value for each example, in order, that is unique in the split."""
    return [float(value) for batch in batches for value in batch.features["log_mel"][:, 0, 0].numpy()]


def keys_of_rows(rows: Sequence[Any]) -> list[float]:
    return [float(row.values[0, 0]) for row in rows]


@pytest.mark.parametrize("cache", [True, False])
def test_the_order_depends_only_on_seed_and_epoch(prepared_dir: Path, cache: bool) -> None:
    stream = make_stream(prepared_dir, cache=cache)
    first, second = keys(stream.epoch(STRATEGY, 1)), keys(stream.epoch(STRATEGY, 2))
    assert first != second
    assert keys(make_stream(prepared_dir, cache=cache).epoch(STRATEGY, 2)) == second
    assert keys(stream.epoch(STRATEGY, 1)) == first
    assert keys(make_stream(prepared_dir, cache=cache, seed=1).epoch(STRATEGY, 1)) != first


@pytest.mark.parametrize("cache", [True, False])
def test_an_epoch_sees_every_example_and_fills_the_last_batch(
    prepared_dir: Path, make_rows: MakeRows, cache: bool
) -> None:
    stream = make_stream(prepared_dir, cache=cache)
    seen = keys(stream.epoch(STRATEGY, 1))
    assert stream.steps_per_epoch == 4
    assert len(seen) == 32
    assert Counter(seen[:30]) == Counter(keys_of_rows(make_rows("train", num_tracks=10)))
    assert set(seen[30:]) <= set(seen[:30])


def test_fewer_examples_than_a_batch(prepared_dir: Path, make_rows: MakeRows) -> None:
    seen = keys(make_stream(prepared_dir, batch_size=64).epoch(STRATEGY, 1))
    assert len(seen) == 64
    assert set(seen) == set(keys_of_rows(make_rows("train", num_tracks=10)))


def test_cached_examples_are_read_from_disk_once(prepared_dir: Path) -> None:
    stream = make_stream(prepared_dir)
    first = keys(stream.epoch(STRATEGY, 1))
    for path in prepared_dir.glob("tiny-train*"):
        path.unlink()
    assert sorted(keys(stream.epoch(STRATEGY, 2))[:30]) == sorted(first[:30])


def test_batches_hold_what_was_written(prepared_dir: Path, make_rows: MakeRows) -> None:
    rows = {float(row.values[0, 0]): row for row in make_rows("train", num_tracks=10)}
    batch = next(make_stream(prepared_dir).epoch(STRATEGY, 1))
    assert batch.features["log_mel"].dtype == tf.float16
    assert batch.features["log_mel"].shape == (8, 8, 16)
    assert batch.targets.dtype == tf.float32
    for values, target in zip(batch.features["log_mel"].numpy(), batch.targets.numpy(), strict=True):
        row = rows[float(values[0, 0])]
        np.testing.assert_array_equal(values, row.values)
        assert target.tolist() == np.eye(3)[row.label].tolist()


@pytest.mark.parametrize("batch_size", [1, 4, 15, 64])
def test_scoring_sees_every_example_once_in_full_batches(
    prepared_dir: Path, make_rows: MakeRows, batch_size: int
) -> None:
    data = open_prepared(str(prepared_dir))
    batches = list(
        scoring_batches(
            STRATEGY,
            find_shards(data, "validation"),
            specs=data.specs,
            global_batch_size=batch_size,
            cache=True,
        )
    )
    assert {tuple(batch.labels.shape) for batch in batches} == {(batch_size,)}
    seen = [(key, bool(flag)) for key, flag in zip(keys(batches), flags(batches), strict=True)]
    assert Counter(key for key, is_example in seen if is_example) == Counter(
        keys_of_rows(make_rows("validation", num_tracks=5))
    )
    assert {key for key, is_example in seen if not is_example} <= {0.0}
    track_keys = np.concatenate([batch.track_keys.numpy()[batch.is_example.numpy()] for batch in batches])
    assert sorted(Counter(track_keys.tolist()).values()) == [3] * 5


def flags(batches: list[Any]) -> list[bool]:
    return [bool(flag) for batch in batches for flag in batch.is_example.numpy()]


def test_two_pipelines_divide_a_split_and_stop_together(prepared_dir: Path, make_rows: MakeRows) -> None:
    data = open_prepared(str(prepared_dir))
    shards = find_shards(data, "validation")
    assert [shard.num_examples for shard in shards] == [6, 6, 3]
    parts = [
        list(scoring_batches(OnePipeline(n), shards, specs=data.specs, global_batch_size=8, cache=False))
        for n in range(2)
    ]
    assert [len(part) for part in parts] == [3, 3]  # 9 examples in the first, in batches of 4
    assert [sum(flags(part)) for part in parts] == [9, 6]
    seen = [key for part in parts for key, flag in zip(keys(part), flags(part), strict=True) if flag]
    assert Counter(seen) == Counter(keys_of_rows(make_rows("validation", num_tracks=5)))


def test_a_pipeline_without_a_shard_scores_padding(write_prepared: Callable[..., Path], make_rows: MakeRows) -> None:
    directory = write_prepared({"validation": make_rows("validation", num_tracks=5)}, num_shards=1)
    data = open_prepared(str(directory))
    shards = find_shards(data, "validation")
    parts = [
        list(scoring_batches(OnePipeline(n), shards, specs=data.specs, global_batch_size=8, cache=True))
        for n in range(2)
    ]
    assert [len(part) for part in parts] == [4, 4]
    assert [sum(flags(part)) for part in parts] == [15, 0]


@pytest.mark.parametrize(
    ("num_pipelines", "num_replicas", "accumulation_steps", "options"),
    [
        (1, 2, 1, {}),
        (2, 2, 1, {}),
        (2, 4, 2, {}),
        (2, 4, 2, {"cache": False}),
        (4, 4, 1, {"sampling": "balanced"}),
        (4, 4, 1, {"cache": False}),
    ],
)
def test_global_batches_are_the_same_for_all_devices(
    prepared_dir: Path, num_pipelines: int, num_replicas: int, accumulation_steps: int, options: dict[str, Any]
) -> None:
    options = {"augment": EVERYTHING, **options}
    expected = arrays(make_stream(prepared_dir, **options).epoch(STRATEGY, 3))
    stream = make_stream(prepared_dir, accumulation_steps=accumulation_steps, **options)
    pipelines = [
        arrays(stream.epoch(OnePipeline(n, num_pipelines=num_pipelines, num_replicas=num_replicas), 3))
        for n in range(num_pipelines)
    ]
    replicas_of_pipeline = num_replicas // num_pipelines
    slices_of_step = accumulation_steps * replicas_of_pipeline
    assert {len(slices) for slices in pipelines} == {4 * slices_of_step}
    for step, batch in enumerate(expected):
        parts = [
            pipeline[step * slices_of_step + part * replicas_of_pipeline + replica]
            for part in range(accumulation_steps)
            for pipeline in pipelines
            for replica in range(replicas_of_pipeline)
        ]
        assert {len(targets) for _, targets in parts} == {8 // accumulation_steps // num_replicas}
        assert_equal([np.concatenate(column) for column in zip(*parts, strict=True)], batch)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("augment", [None, EVERYTHING])
@pytest.mark.parametrize(("num_replicas", "accumulation_steps"), [(1, 2), (2, 2)])
def test_parts_of_a_batch_are_its_slices(
    prepared_dir: Path, cache: bool, augment: AugmentConfig | None, num_replicas: int, accumulation_steps: int
) -> None:
    whole = joined(make_stream(prepared_dir, cache=cache, augment=augment).epoch(STRATEGY, 1))
    stream = make_stream(prepared_dir, cache=cache, augment=augment, accumulation_steps=accumulation_steps)
    parts = list(stream.epoch(OnePipeline(0, num_pipelines=1, num_replicas=num_replicas), 1))
    assert len(parts) == 4 * accumulation_steps * num_replicas
    assert_equal(joined(parts), whole)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("num_replicas", [1, 2])
def test_the_device_makes_the_changes_of_the_input_pipeline(prepared_dir: Path, cache: bool, num_replicas: int) -> None:
    strategy = OnePipeline(0, num_pipelines=1, num_replicas=num_replicas)
    options: dict[str, Any] = {"cache": cache, "accumulation_steps": 2}
    expected = arrays(make_stream(prepared_dir, augment=EVERYTHING, **options).epoch(strategy, 2))
    on_device = replace(EVERYTHING, runs_on="device")
    data = open_prepared(str(prepared_dir))
    augmenter = make_augmenter(on_device, data=data, specs=data.specs)
    assert augmenter is not None
    change = tf.function(augmenter, autograph=False)
    batches = list(make_stream(prepared_dir, augment=on_device, **options).epoch(strategy, 2))
    assert len(batches) == len(expected)
    for batch, (features, targets) in zip(batches, expected, strict=True):
        # In the stored type, with the example that the first one is mixed with.
        assert batch.features["log_mel"].dtype == tf.float16
        sizes = {len(part) for part in (batch.features["log_mel"], batch.targets, batch.states)}
        assert sizes == {len(targets) + 1}
        changed, mixed = change(batch.features, batch.targets, batch.states)
        assert_equal([changed["log_mel"].numpy(), mixed.numpy()], [features, targets])


def test_batches_that_are_copied_ahead_are_the_same(prepared_dir: Path) -> None:
    expected = arrays(make_stream(prepared_dir).epoch(STRATEGY, 1))
    copied = arrays(make_stream(prepared_dir, device="/CPU:0").epoch(STRATEGY, 1))
    for found, others in zip(copied, expected, strict=True):
        assert_equal(found, others)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("augment", [None, EVERYTHING])
def test_an_epoch_can_start_at_any_step(prepared_dir: Path, cache: bool, augment: AugmentConfig | None) -> None:
    stream = make_stream(prepared_dir, cache=cache, augment=augment, accumulation_steps=2)
    whole = arrays(stream.epoch(STRATEGY, 2))
    assert len(whole) == 8
    for first_step in (1, 3, 4):
        entered = make_stream(prepared_dir, cache=cache, augment=augment, accumulation_steps=2)
        rest = arrays(entered.epoch(STRATEGY, 2, first_step=first_step))
        assert len(rest) == 8 - 2 * first_step
        for found, expected in zip(rest, whole[2 * first_step :], strict=True):
            assert_equal(found, expected)


def test_balanced_batches_have_each_genre_equally_often(
    write_prepared: Callable[..., Path], make_rows: MakeRows
) -> None:
    rows = [
        row
        for row in make_rows("train", num_tracks=12)
        if row.label != 1 and not (row.label == 2 and row.segment_index)
    ]
    assert Counter(row.label for row in rows) == {0: 12, 2: 4}
    directory = write_prepared({"train": rows})
    features, targets = joined(make_stream(directory, batch_size=4, sampling="balanced").epoch(STRATEGY, 1))
    assert targets.sum(axis=0).tolist() == [8, 0, 8]
    assert targets.reshape(8, 2, 3).sum(axis=1).tolist() == [[1, 0, 1]] * 8  # every round has each genre once
    drawn = Counter(features[:, 0, 0].tolist())
    rare = [drawn[float(row.values[0, 0])] for row in rows if row.label == 2]
    frequent = [drawn[float(row.values[0, 0])] for row in rows if row.label == 0]
    assert rare == [2] * 4
    assert Counter(frequent) == {1: 8, 0: 4}


def test_a_repeated_example_of_an_epoch_gets_other_changes(
    write_prepared: Callable[..., Path], make_rows: MakeRows
) -> None:
    directory = write_prepared({"train": make_rows("train", num_tracks=2)[:4]})
    for cache in (True, False):
        stream = make_stream(directory, cache=cache, batch_size=12, augment=AugmentConfig(gain_db=20.0))
        features, _ = joined(stream.epoch(STRATEGY, 1))
        assert len({float(values.astype(np.float64).mean()) for values in features}) == 12


@pytest.mark.parametrize("cache", [True, False])
def test_a_partner_is_the_example_before_in_the_global_batch(prepared_dir: Path, cache: bool) -> None:
    # The last batch is left out: what fills it up may follow itself.
    plain = joined(make_stream(prepared_dir, cache=cache).epoch(STRATEGY, 1))[0].reshape(4, 8, 8, 16)[:3].astype(float)
    stream = make_stream(prepared_dir, cache=cache, augment=AugmentConfig(mixup_alpha=100.0))
    mixed = joined(stream.epoch(STRATEGY, 1))[0].reshape(4, 8, 8, 16)[:3]
    previous = np.roll(plain, 1, axis=1)
    shares = ((mixed - previous) * (plain - previous)).sum(axis=(2, 3)) / ((plain - previous) ** 2).sum(axis=(2, 3))
    assert ((shares > 0.3) & (shares < 0.7)).all()
    assert len(np.unique(shares.round(6))) == 24
    shares = shares[..., None, None]
    np.testing.assert_allclose(mixed, shares * plain + (1 - shares) * previous, atol=0.05)


def test_two_pipelines_stream_each_example_once(prepared_dir: Path, make_rows: MakeRows) -> None:
    stream = make_stream(prepared_dir, cache=False)
    parts = [keys(stream.epoch(OnePipeline(n), 1)) for n in range(2)]
    assert [len(part) for part in parts] == [16, 16]  # 4 steps of 4
    # Of the last batch, 2 are of the next shuffle, in the part of the second.
    assert Counter(parts[0] + parts[1][:14]) == Counter(keys_of_rows(make_rows("train", num_tracks=10)))


def test_a_batch_that_cannot_be_divided(prepared_dir: Path) -> None:
    stream = make_stream(prepared_dir, accumulation_steps=2)
    with pytest.raises(
        UserError, match=r"global_batch_size=8: expected a multiple of 6 \(3 devices and 2 steps of accumulation\)"
    ):
        stream.epoch(OnePipeline(0, num_pipelines=1, num_replicas=3), 1)
    data = open_prepared(str(prepared_dir))
    with pytest.raises(UserError, match=r"global_batch_size=8: expected a multiple of 3 \(3 devices\)$"):
        scoring_batches(
            OnePipeline(0, num_pipelines=1, num_replicas=3),
            find_shards(data, "validation"),
            specs=data.specs,
            global_batch_size=8,
            cache=True,
        )


def test_balanced_sampling_requires_the_cache(prepared_dir: Path) -> None:
    with pytest.raises(UserError, match="sampling=balanced: expected cache=true"):
        make_stream(prepared_dir, cache=False, sampling="balanced")


def test_steps_of_an_epoch() -> None:
    shards = [Shard("a", 5), Shard("b", 4)]
    assert [count_steps(shards, global_batch_size=size) for size in (1, 3, 8, 9, 10)] == [9, 3, 2, 1, 1]
