"""Prepared data in Python, against the shards as `tf.data` and the table of tracks as JSON."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tones import Tones

import beamtune
from trainer.data.batches import plain_batches
from trainer.data.prepared import find_shards, open_prepared


def test_a_split_has_every_segment_once_in_the_order_of_the_shards(tones: Tones) -> None:
    data = beamtune.open_prepared(tones.data_dir)
    stored = open_prepared(str(tones.data_dir))
    for split in ("train", "validation", "test"):
        shards = find_shards(stored, split)
        [expected] = plain_batches(shards, specs=stored.specs, batch_size=1000)
        dataset = data.split(split)
        examples = list(dataset)
        assert len(dataset) == len(examples) == len(expected.labels) > 0
        assert [int(label) for _, label in examples] == expected.labels.numpy().tolist()
        for name in ("log_mel", "mfcc"):
            values = np.stack([features[name] for features, _ in examples])
            np.testing.assert_array_equal(values, expected.features[name].numpy())


def test_batches_hold_the_named_features_and_the_last_one_is_smaller(tones: Tones) -> None:
    data = beamtune.open_prepared(tones.data_dir)
    dataset = data.split("train", features=["log_mel"], batch_size=5)
    spec = data.features["log_mel"]
    assert dataset.element_spec == (
        {"log_mel": tf.TensorSpec((None, *spec.shape), tf.float16)},
        tf.TensorSpec((None,), tf.int64),
    )
    num_examples = len(data.split("train"))
    sizes = [len(labels) for _, labels in dataset]
    assert len(dataset) == len(sizes) == -(-num_examples // 5)
    assert sizes == [5] * (num_examples // 5) + [num_examples % 5] * (num_examples % 5 > 0)
    assert next(iter(data.split("train")))[0]["mfcc"].shape == data.features["mfcc"].shape


def test_keras_fits_on_a_split(tones: Tones) -> None:
    data = beamtune.open_prepared(str(tones.data_dir))
    classifier = beamtune.load(tones.run_dir)
    model = tf.keras.models.clone_model(classifier.keras_model)
    model.compile(loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.split("train", features=["log_mel"], batch_size=8), epochs=1, verbose=0)


def test_tracks_labels_and_statistics_are_those_of_the_files(tones: Tones) -> None:
    data = beamtune.open_prepared(tones.data_dir)
    rows = [json.loads(line) for line in (tones.data_dir / "tracks.jsonl").read_text().splitlines()]
    assert [(row.track_id, row.split, row.label, row.num_segments) for row in data.tracks()] == [
        (row["track_id"], row["split"], row["label"], row["num_segments"]) for row in rows
    ]
    assert data.labels == ("genre0", "genre1")
    counts = json.loads((tones.data_dir / "stats.json").read_text())["num_segments"]
    assert data.stats.num_segments == counts
    assert len(data.split("train")) == sum(counts["train"].values())
    assert repr(data).startswith(f"<beamtune.PreparedDataset {tones.data_dir}: train {sum(counts['train'].values())}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "tset"}, "split=tset: expected one of train, validation, test; did you mean test?"),
        ({"name": "test", "features": ["log_mal"]}, "features=log_mal: expected one of log_mel, mfcc; did you mean"),
        ({"name": "test", "features": []}, "features=[]: expected some of log_mel, mfcc, or None"),
        ({"name": "test", "features": "log_mel"}, "features='log_mel': expected a list of names, e.g. ['log_mel']"),
        ({"name": "test", "batch_size": 0}, "batch_size=0: expected at least 1, or None"),
    ],
)
def test_mistakes_are_named(tones: Tones, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(beamtune.UserError) as caught:
        beamtune.open_prepared(tones.data_dir).split(**arguments)
    assert message in str(caught.value)


def test_what_is_not_prepared_data_is_refused(tones: Tones, tmp_path: Path) -> None:
    with pytest.raises(beamtune.UserError, match="does not exist"):
        beamtune.open_prepared(tmp_path / "none")
    with pytest.raises(beamtune.UserError, match="is not a prepared data set"):
        beamtune.open_prepared(tmp_path)
    with pytest.raises(beamtune.UserError, match="path=None: expected a path"):
        beamtune.open_prepared(None)
    shutil.copytree(tones.data_dir, tmp_path / "copy")
    (tmp_path / "copy" / "tracks.jsonl").write_text("{")
    copy = beamtune.open_prepared(tmp_path / "copy")
    with pytest.raises(beamtune.UserError, match="tracks.jsonl is damaged"):
        copy.tracks()
    shard = next((tmp_path / "copy").glob("*-test.tfrecord-00000-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(tf.errors.DataLossError):
        list(copy.split("test"))
    shard.unlink()
    with pytest.raises(beamtune.UserError, match="is missing: prepare the data again"):
        copy.split("test")
