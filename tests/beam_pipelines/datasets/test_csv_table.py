import csv

import pytest

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.datasets.registry import list_tracks

FIELD_SIZE_LIMIT = csv.field_size_limit()
HEADER = "path,genre,artist\n"


def table(tmp_path, text, **config):
    path = tmp_path / "tracks.csv"
    path.write_text(text, encoding="utf-8")
    return CsvDatasetConfig(path=str(path), **config)


def test_rows_become_tracks(tmp_path, monkeypatch):
    def size_bytes(name):
        if name.startswith("gs://"):  # where there is no network, a bucket is asked for minutes
            raise OSError(name)
        return real_size_bytes(name)

    real_size_bytes = storage.size_bytes
    monkeypatch.setattr(storage, "size_bytes", size_bytes)
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"1.mp3,rock,x\n2.mp3,pop,Bj\xf6rk\n",
            "line 3, column 'artist': the byte 0xf6 is not UTF-8 text: set dataset.",
        ),
        (b"1.mp3,rock,x\n2\0.mp3,pop,y\n", "line 3, column 'path': a NUL character"),
        (b"1.mp3,ro\0ck,x\n", "line 2, column 'genre': a NUL character"),
        (b'1.mp3,rock,x\n2.mp3,pop,"' + b"x" * 131_073 + b'"\n', "line 3: .* column 'artist' has 131073 characters"),
        (b'1.mp3,"rock,x\n2.mp3,pop,y\n3.mp3,pop,"z\n', "line 2: .* column 'genre' has a line break: is a quotation"),
        (
            b"1.mp3,rock,x\nhttps://a.org/b.mp3,pop,y\n",
            "line 3, column 'path': https://a.org/b.mp3 cannot be read: exp",
        ),
        (b"s3://b/a.mp3,rock,x\n", "line 2, column 'path': s3://b/a.mp3 .* a local path, file:///… or gs://"),
        (b"file://host/a.mp3,rock,x\n", "line 2, column 'path': file://host/a.mp3 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_row_and_column(tmp_path, content, message):
    path = tmp_path / "tracks.csv"
    path.write_bytes(HEADER.encode() + content)
    with pytest.raises(UserError, match=message) as caught:
        list_tracks(CsvDatasetConfig(path=str(path)))
    assert len(str(caught.value).splitlines()) == 1
    assert csv.field_size_limit() == FIELD_SIZE_LIMIT


ROWS = "path,genre,artist\nä.mp3,rock,Björk\nb.mp3,pop,x\n"


@pytest.mark.parametrize(
    ("content", "settings", "notes"),
    [
        (ROWS.encode("cp1252"), {"encoding": "cp1252"}, []),
        (ROWS.replace(",", ";").encode("cp1252"), {"encoding": "cp1252", "delimiter": ";"}, []),
        (ROWS.replace(",", "~").encode(), {"delimiter": "~"}, []),
        (ROWS.replace(",", "\t").encode(), {"delimiter": "tab"}, []),
        (ROWS.replace(",", ";").encode(), {}, ["the columns of {path} are separated by ';'"]),
        (ROWS.replace(",", "\t").encode(), {}, ["the columns of {path} are separated by 'tab'"]),
        (ROWS.encode("utf-16"), {}, ["{path} is read as utf-16"]),
        (ROWS.replace("\n", "\r\n").encode("utf-8-sig"), {}, []),
    ],
)
def test_encodings_and_delimiters(tmp_path, content, settings, notes):
    path = tmp_path / "tracks.csv"
    path.write_bytes(content)
    listing = list_tracks(CsvDatasetConfig(path=str(path), **settings))
    assert [(track.track_id, track.label, track.group) for track in listing.tracks] == [
        ("b.mp3", "pop", "x"),
        ("ä.mp3", "rock", "Björk"),
    ]
    assert listing.notes == [note.format(path=path) for note in notes]


def test_a_table_with_another_delimiter_names_the_setting(tmp_path):
    with pytest.raises(UserError, match=r"no such column; if another character .* set dataset\.delimiter"):
        list_tracks(table(tmp_path, HEADER.replace(",", "~") + "1.mp3~rock~x\n"))


@pytest.mark.parametrize("settings", [{"encoding": "cp0"}, {"encoding": "hex"}, {"delimiter": ";;"}, {"delimiter": ""}])
def test_settings_that_cannot_be(settings):
    [key] = settings
    with pytest.raises(UserError, match=f"dataset.{key}=.*: expected"):
        CsvDatasetConfig(path="tracks.csv", **settings)


def test_sizes_are_those_of_the_named_files_wherever_they_are(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a b.mp3").write_bytes(b"123")
    (tmp_path / "audio" / "c.mp3").write_bytes(b"12345")
    rows = (
        f"{tmp_path}/audio/c.mp3,rock,x\n../audio/a b.mp3,pop,y\nfile://{tmp_path}/audio/a%20b.mp3,pop,y\nabsent,pop,\n"
    )
    config = table(tmp_path / "tables", HEADER + rows)
    for name in ("list_files", "_walk"):
        monkeypatch.setattr(storage, name, lambda *_: pytest.fail("a folder was listed"))
    sizes = {track.track_id.rsplit("/", 1)[-1]: track.size_bytes for track in list_tracks(config).tracks}
    assert sizes == {"c.mp3": 5, "a b.mp3": 3, "a%20b.mp3": 3, "absent": 0}


def test_a_missing_table_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(UserError, match="absent.csv cannot be read"):
        list_tracks(CsvDatasetConfig(path=str(tmp_path / "absent.csv")))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81\x00")
    with pytest.raises(UserError, match="binary.csv line 1: the byte 0xff is not UTF-8 text"):
        list_tracks(CsvDatasetConfig(path=str(binary)))


def test_a_folder_instead_of_a_table_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        list_tracks(CsvDatasetConfig(path=str(tmp_path)))
