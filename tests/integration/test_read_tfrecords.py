"""The lines of docs/tfrecords.md, run as they are on the page, read what was written."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from prepared_data import track_record, write_prepared_data

from beam_pipelines.records.example import encode_example
from beam_pipelines.records.schema import FeatureSpec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tfrecords.md"
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"(?m)(?:^(?: {4}.*)?\n)+", PAGE.read_text("utf-8")) if block.strip()
]
LABELS = ["blues", "funk"]
SHAPE = (94, 128)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The arrays and labels of prepared/mine, below the working folder, in the order of its records."""
    rng = np.random.default_rng(0)
    arrays = rng.normal(-40.0, 10.0, (3, *SHAPE)).astype(np.float16)
    labels = [0, 1, 1]
    records = [
        encode_example(track_id=f"{index}", segment_index=0, start_s=0.0, label=label, features={"log_mel": array})
        for index, (array, label) in enumerate(zip(arrays, labels, strict=True))
    ]
    write_prepared_data(
        tmp_path / "prepared" / "mine",
        {"train": [records[:2], records[2:]]},
        specs=[FeatureSpec("log_mel", SHAPE, "float16")],
        labels=LABELS,
        tracks=[
            track_record(f"{index}", split="train", group=f"{index}", label=LABELS[label], num_segments=1)
            for index, label in enumerate(labels)
        ],
        config={},
        name="mine",
    )
    monkeypatch.chdir(tmp_path)
    return {array.tobytes(): label for array, label in zip(arrays, labels, strict=True)}


def test_the_lines_for_tf_data_read_all_segments(written):
    variables = {}
    exec(BLOCKS[0], variables)  # noqa: S102 (lines of this repository)
    [(arrays, labels)] = list(variables["segments"])
    assert arrays.shape == (3, *SHAPE)
    read = {array.numpy().tobytes(): int(label) for array, label in zip(arrays, labels, strict=True)}
    assert read == written


def test_the_lines_for_one_example_read_each_by_the_index(written):
    """The page's data set has eight shards, this one two."""
    lines = BLOCKS[1].replace("-of-00008", "-of-00002")
    read = {}
    for shard, num_examples in (("00000", 2), ("00001", 1)):
        for i in range(num_examples):
            variables = {"numpy": np, "tf": tf, "i": i}
            exec(lines.replace("-00000-of", f"-{shard}-of"), variables)  # noqa: S102 (lines of this repository)
            assert len(variables["ends"]) == num_examples
            feature = variables["example"].features.feature
            read[feature["log_mel"].bytes_list.value[0]] = feature["label"].int64_list.value[0]
    assert read == written


def test_the_lines_for_tensorflow_datasets_read_all_segments(written):
    variables = {}
    for block in BLOCKS[2:]:
        exec(block, variables)  # noqa: S102 (lines of this repository)
    assert variables["names"] == LABELS
    read = {array.numpy().tobytes(): int(label) for array, label in variables["pairs"]}
    assert read == written
    with pytest.raises(ValueError, match="as_supervised"):
        variables["builder"].as_dataset(split="train", as_supervised=True)
