"""Files, folders, patterns, playlists and tables as one list of audio files."""

import tracemalloc
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.evaluation.prediction_writers import (
    CsvWriter,
    Prediction,
    PredictionWriter,
    SegmentGenre,
    TimelineCsvWriter,
)
from trainer.library.inputs import list_inputs


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with three audio files, a hidden one and a text."""
    for name in ("a.mp3", "Ä/b c.flac", "Ä/deep/d#1.wav", ".hidden.mp3", "notes.txt"):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "music"


def names(given: list[str], music: Path) -> list[str]:
    return [path.removeprefix(f"{music}/") for path in list_inputs(given).paths]


def test_a_folder_stands_for_the_audio_below_it(music: Path) -> None:
    inputs = list_inputs([str(music)])
    assert [path.removeprefix(f"{music}/") for path in inputs.paths] == ["a.mp3", "Ä/b c.flac", "Ä/deep/d#1.wav"]
    assert inputs.notes == ["hidden audio files left out (1): .hidden.mp3"]


def test_a_folder_with_very_many_files_is_listed_with_little_memory(tmp_path: Path) -> None:
    expected = [f"{tmp_path}/{number:06d}.mp3" for number in range(20_000)]
    for path in expected:
        Path(path).touch()
    tracemalloc.start()
    try:
        paths = list_inputs([str(tmp_path)]).paths
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert paths == expected
    # A million files then take half a GB at most.
    assert peak_bytes < 500 * len(expected)


def test_a_file_is_taken_as_it_is_and_once(music: Path) -> None:
    odd = [str(music / "notes.txt"), str(music / "absent.mp3")]
    assert list_inputs([*odd, str(music / "a.mp3"), str(music), *odd]).paths == [
        *odd,
        *(str(music / name) for name in ("a.mp3", "Ä/b c.flac", "Ä/deep/d#1.wav")),
    ]


def test_a_pattern_stands_for_files_and_folders(music: Path) -> None:
    assert names([f"{music}/*.mp3", f"{music}/**/d*.wav", f"{music}/[Ä]"], music) == [
        *("a.mp3", "Ä/deep/d#1.wav", "Ä/b c.flac"),
    ]
    (music / "what?.mp3").write_bytes(b"")
    assert names([f"{music}/what?.mp3"], music) == ["what?.mp3"]
    with pytest.raises(UserError, match=r"\*.ogg matches nothing: expected a pattern"):
        list_inputs([f"{music}/*.ogg"])


def test_a_pattern_leaves_out_what_is_no_audio(music: Path) -> None:
    (music / "empty").mkdir()
    (music / "list.m3u").write_text("Ä/deep/d#1.wav\n")
    (music / "genres.csv").write_text("file,rank,genre,probability,label\nmusic/gone.mp3,1,funk,0.5,funk\n")
    inputs = list_inputs([f"{music}/*"])
    assert inputs.paths == [f"{music}/{name}" for name in ("a.mp3", "Ä/b c.flac", "Ä/deep/d#1.wav")]
    names_left_out = ", ".join(f"{music}/{name}" for name in ("genres.csv", "list.m3u", "notes.txt"))
    assert inputs.notes == [f"{music}/*: files that are no audio left out (3): {names_left_out}"]
    assert names([f"{music}/l*.m3u"], music) == ["Ä/deep/d#1.wav"]
    for pattern in ("e*", "n*"):
        with pytest.raises(UserError, match=rf"{pattern[0]}\* matches no audio file"):
            list_inputs([f"{music}/{pattern}"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_playlist_names_files_beside_it(music: Path, encoding: str) -> None:
    playlist = music / "list.m3u"
    playlist.write_bytes(
        "#EXTM3U\r\n#EXTINF:1,Ä\r\nÄ/b c.flac\r\n\r\n /else/e.mp3 \r\nfile:///x/f%201.mp3\r\nhttp://radio/g.mp3\r\n"
        "gs://bucket/h.mp3".encode(encoding)
    )
    inputs = list_inputs([str(playlist)])
    assert inputs.paths == [f"{music}/Ä/b c.flac", "/else/e.mp3", "/x/f 1.mp3", "gs://bucket/h.mp3"]
    assert inputs.notes == [f"{playlist}: 1 address left out: only files and gs:// are read"]


def test_names_in_a_playlist_may_be_as_on_windows_and_have_any_character(music: Path) -> None:
    (music / "back\\slash.mp3").write_bytes(b"")
    (music / "list.m3u").write_bytes("Ä\\deep\\d#1.wav\r\nback\\slash.mp3\rwait\x85\u2028.mp3\n".encode())
    assert names([str(music / "list.m3u")], music) == ["Ä/deep/d#1.wav", "back\\slash.mp3", "wait\x85\u2028.mp3"]


@pytest.mark.parametrize("writer", [CsvWriter(), TimelineCsvWriter()])
def test_a_table_of_predictions_names_files_as_they_were_given(
    music: Path, writer: PredictionWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = (SegmentGenre(0.0, "funk", 0.5),)
    found = Prediction("music/a.mp3", 3.0, 1, "funk", (("funk", 0.5), ("waltz", 0.25)), timeline)
    table = music / "Ä" / "genres.csv"
    table.write_text(writer.start() + writer.add(found))
    monkeypatch.chdir(music.parent)
    assert list_inputs([str(table)]).paths == ["music/a.mp3"]


@pytest.mark.parametrize("column", ["path", "file"])
def test_a_table_names_files_beside_it(music: Path, column: str) -> None:
    table = music / "songs.csv"
    table.write_text(f'id,{column}\n1,a.mp3\n2,"Ä/b c.flac"\n3,a.mp3\n4,\n')
    assert names([str(table)], music) == ["a.mp3", "Ä/b c.flac"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.m3u8", b"", "names no audio file"),
        ("b.m3u", b"# nothing\n", "names no audio file"),
        ("c.csv", b"", "has no rows with a column 'path' or 'file'"),
        ("d.csv", b"song\na.mp3\n", "has no rows with a column 'path' or 'file'"),
        ("e.csv", b'path\n"a.mp3\n', "is not a CSV file"),
        ("absent.m3u", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_list_that_names_nothing_is_an_error(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} {message}"):
        list_inputs([str(tmp_path / name)])


def test_a_list_that_is_no_list_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "huge.m3u").open("wb") as sink:
        sink.truncate(1 << 40)
    with pytest.raises(UserError, match="expected a playlist or a table of 268435456 at most"):
        list_inputs([str(tmp_path / "huge.m3u")])


def test_a_folder_without_audio_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no audio file in this folder or below it"):
        list_inputs([str(tmp_path)])
