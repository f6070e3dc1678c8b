"""Tables of predictions in each format, read by other libraries."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from beam_pipelines.common.errors import UserError
from trainer.evaluation.prediction_writers import Prediction, SegmentGenre
from trainer.library.tables import Table, files_of, table_of
from trainer.library.tables import extend_table as extend_table_by

TIMELINE = (SegmentGenre(0.0, "funk", 0.5), SegmentGenre(3.0, "waltz", 0.75))
FIRST = Prediction('ä, "1".mp3', 1.5, 2, "funk", (("funk", 0.75), ("waltz", 0.25)), TIMELINE, (0.5, -1.0))
SECOND = Prediction("b\n.mp3", 60.0, 20, "unknown", (("waltz", 0.5), ("funk", 0.5)), TIMELINE, (0.25, 2.0))
ENDINGS = (".csv", ".jsonl", ".parquet")


def extend_table(path: str, predictions: Iterable[Prediction], *, table: Table) -> None:
    extend_table_by(path, predictions, table=table, temporary=f"{path}.tmp")


def rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows by other readers than those of the table."""
    if path.suffix == ".csv":
        with path.open(newline="") as source:
            return list(csv.DictReader(source))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_is_begun_and_continued(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"genres{ending}"
    table = table_of(str(path), has_timeline=False)
    assert files_of(str(path), table=table) == set()
    extend_table(str(path), [FIRST], table=table)
    extend_table(str(path), [], table=table)
    extend_table(str(path), [SECOND], table=table)
    assert files_of(str(path), table=table) == {FIRST.file, SECOND.file}
    found = rows(path)
    if ending == ".csv":
        assert [(row["file"], row["genre"], row["probability"], row["label"]) for row in found] == [
            (one.file, genre, f"{probability:.6f}", one.label)
            for one in (FIRST, SECOND)
            for genre, probability in one.genres
        ]
    else:
        for row, one in zip(found, (FIRST, SECOND), strict=True):
            assert (row["file"], row["duration_s"], row["num_segments"], row["label"]) == (
                *(one.file, one.duration_s, one.num_segments, one.label),
            )
            assert [(genre["genre"], genre["probability"]) for genre in row["genres"]] == list(one.genres)
            assert [segment["start_s"] for segment in row["timeline"]] == [0.0, 3.0]
            assert list(row["embedding"]) == list(one.embedding or ())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_table_of_a_timeline_has_a_row_for_each_segment(tmp_path: Path) -> None:
    path = tmp_path / "genres.csv"
    extend_table(str(path), [FIRST], table=table_of(str(path), has_timeline=True))
    assert [(row["start_s"], row["genre"]) for row in rows(path)] == [("0", "funk"), ("3", "waltz")]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"a": 1}\n', b'"'])
def test_a_damaged_table_is_an_error(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"genres{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"output={path} is damaged"):
        files_of(str(path), table=table_of(str(path), has_timeline=False))


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_keeps_the_earlier_table(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"genres{ending}"
    table = table_of(str(path), has_timeline=False)
    extend_table(str(path), [FIRST], table=table)
    before = path.read_bytes()

    def fail():
        yield SECOND
        raise RuntimeError

    with pytest.raises(RuntimeError):
        extend_table(str(path), fail(), table=table)
    assert path.read_bytes() == before
