import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.datasets.registry import list_tracks

HEADER = "path,genre,artist\n"


def table(tmp_path, text, **config):
    path = tmp_path / "tracks.csv"
    path.write_text(text, encoding="utf-8")
    return CsvDatasetConfig(path=str(path), **config)


def test_rows_become_tracks(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.mp3").write_bytes(b"12345")
    config = table(tmp_path, HEADER + 'a/1.mp3,rock,"Bach, J. S."\n/abs/2.mp3,pop,Ärtist\ngs://b/3.mp3,pop,\n')
    tracks = {track.track_id: track for track in list_tracks(config).tracks}
    assert tracks["a/1.mp3"].uri == str(tmp_path / "a" / "1.mp3")
    assert tracks["a/1.mp3"].group == "Bach, J. S."
    assert tracks["a/1.mp3"].size_bytes == 5
    assert tracks["/abs/2.mp3"].uri == "/abs/2.mp3"
    assert tracks["/abs/2.mp3"].size_bytes == 0
    assert tracks["gs://b/3.mp3"].uri == "gs://b/3.mp3"
    assert tracks["gs://b/3.mp3"].group == "gs://b/3.mp3"


def test_artists_are_compared_without_case_accents_and_guests(tmp_path):
    rows = ["Björk", "BJORK", "Bjo\u0308rk feat. Thom Yorke", "Various Artists", "v.a.", "Björkan"]
    config = table(tmp_path, HEADER + "".join(f"{number}.mp3,g{number % 2},{row}\n" for number, row in enumerate(rows)))
    groups = [track.group for track in list_tracks(config).tracks]
    assert groups == ["BJORK", "BJORK", "BJORK", "3.mp3", "4.mp3", "Björkan"]


def test_columns_may_have_other_names_and_a_byte_order_mark(tmp_path):
    config = table(
        tmp_path,
        "\ufefffile,style,part\n1.mp3,rock,train\n2.mp3,pop,test\n\n",
        path_column="file",
        label_column="style",
        group_column=None,
        split_column="part",
    )
    assert [(track.label, track.group, track.split) for track in list_tracks(config).tracks] == [
        ("rock", "1.mp3", "train"),
        ("pop", "2.mp3", "test"),
    ]


@pytest.mark.parametrize(
    ("text", "config", "message"),
    [
        ("path,gener,artist\n", {}, "dataset.label_column=genre: .* has no such column; did you mean 'gener'?"),
        ("path,genre\n", {}, "dataset.group_column=artist: .*dataset.group_column=null makes every file a group"),
        ("", {}, "It has none"),
        (HEADER + "1.mp3,,x\n", {}, "line 2: the column 'genre' is empty"),
        (HEADER + "1.mp3,rock,x\n,rock,x\n", {}, "line 3: the column 'path' is empty"),
        (HEADER + "1.mp3,rock,dev\n", {"split_column": "artist"}, "the split is 'dev': expected one of train"),
        (HEADER, {}, "holds no audio files"),
        (HEADER + "1.mp3,rock,x\n1.mp3,pop,x\n", {}, "names the track '1.mp3' 2 times"),
    ],
)
def test_tables_with_mistakes_are_refused(tmp_path, text, config, message):
    with pytest.raises(UserError, match=message):
        list_tracks(table(tmp_path, text, **config))


def test_a_missing_table_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(UserError, match="absent.csv cannot be read"):
        list_tracks(CsvDatasetConfig(path=str(tmp_path / "absent.csv")))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="binary.csv is not UTF-8 text"):
        list_tracks(CsvDatasetConfig(path=str(binary)))


def test_a_folder_instead_of_a_table_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        list_tracks(CsvDatasetConfig(path=str(tmp_path)))
