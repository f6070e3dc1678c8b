"""The lines of docs/tfrecords.md, run as they are on the page, read what was written."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
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


def test_the_lines_for_tensorflow_datasets_read_all_segments(written):
    variables = {}
    for block in BLOCKS[1:]:
        exec(block, variables)  # noqa: S102 (lines of this repository)
    assert variables["names"] == LABELS
    read = {array.numpy().tobytes(): int(label) for array, label in variables["pairs"]}
    assert read == written
    with pytest.raises(ValueError, match="as_supervised"):
        variables["builder"].as_dataset(split="train", as_supervised=True)
