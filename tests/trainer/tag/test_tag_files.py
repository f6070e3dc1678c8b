"""Files, their genres and a predictor that needs no model."""

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import raw_tags
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.progress import ProgressReporter
from trainer.tag.config import TagConfig
from trainer.tag.rows import Table
from trainer.tag.tag_files import chosen_genres, tag_files
from trainer.tag.undo_file import UndoWriter, read_changes

GENRES = ("techno", "waltz", "funk")
Ranked = Sequence[tuple[str, float]]


class Run:
    """Runs of the command without a model."""

    def __init__(self, folder: Path) -> None:
        self.undo_file = folder / "undo" / "undo.jsonl"
        self.predicted: list[str] = []
        self.out = self.err = ""

    def __call__(
        self, paths: Sequence[Path], ranked: Mapping[str, Ranked] | Callable[[str], Ranked], **settings: Any
    ) -> dict[str, int]:
        """Returns the numbers of files by state.

        Args:
            paths: The files.
            ranked: The prediction for each file by its name, or a function of the path.
            **settings: Settings of the command.
        """

        def predict(path: str) -> Ranked:
            self.predicted.append(path)
            return ranked(path) if callable(ranked) else ranked[os.path.basename(path)]

        self.predicted.clear()
        out, err = io.StringIO(), io.StringIO()
        names, config = [str(path) for path in paths], TagConfig(**settings)
        with (
            UndoWriter(str(self.undo_file)) as undo,
            ProgressReporter("tagging", total=len(paths), unit="files", stream=err) as progress,
        ):
            states = tag_files(
                names,
                predict=predict,
                config=config,
                table=Table(names, genres=GENRES, write=config.write),
                undo=undo,
                progress=progress,
                stream=out,
            )
        self.out, self.err = out.getvalue(), err.getvalue()
        return {state.value: count for state, count in states.items()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command without a model."""
    return Run(tmp_path)


TECHNO: Ranked = [("techno", 0.8125), ("waltz", 0.125), ("funk", 0.0625)]


def test_by_default_nothing_is_written(song: Path, run: Run) -> None:
    before = song.read_bytes(), song.stat().st_mtime_ns
    assert run([song], {"song.mp3": TECHNO}) == {"changed": 1}
    assert run.out == f"{song}  Rock   → techno 0.812  would change\n"
    assert (song.read_bytes(), song.stat().st_mtime_ns) == before
    assert not run.undo_file.exists()


def test_genres_are_written_once(song: Path, run: Run) -> None:
    assert run([song], {"song.mp3": TECHNO}, write=True) == {"changed": 1}
    assert run.out == f"{song}  Rock   → techno 0.812  changed\n"
    tags = TinyTag.get(song)
    assert (tags.title, tags.genre) == ("Title", "techno")
    [change] = read_changes(str(run.undo_file))
    assert (change.path, change.old_genres, change.new_genres) == (str(song), ("Rock",), ("techno",))
    written, lines = song.stat(), run.undo_file.read_bytes()
    assert run([song], {"song.mp3": TECHNO}, write=True) == {"unchanged": 1}
    assert run.out == f"{song}  techno → techno 0.812  unchanged\n"
    assert (song.stat().st_ino, song.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert run.undo_file.read_bytes() == lines


@pytest.mark.parametrize("name", ["mp3", "wav", "aiff", "flac", "ogg", "opus", "oga", "m4a"])
def test_every_format_whatever_the_file_is_called(
    untagged: dict[str, bytes], tmp_path: Path, run: Run, name: str
) -> None:
    paths = [tmp_path / f"song.{name}", tmp_path / "song.mp3", tmp_path / "song.flac", tmp_path / "song"]
    for path in dict.fromkeys(paths):
        path.write_bytes(untagged[name])
        assert run([path], lambda _: TECHNO, write=True) == {"changed": 1}
        with path.open("rb") as file:
            assert TinyTag.get(file_obj=file).genre == "techno"


def test_what_is_not_probable_enough_is_not_written(song: Path, run: Run) -> None:
    before = song.read_bytes()
    assert run([song], {"song.mp3": TECHNO}, write=True, min_confidence=0.9) == {"unknown": 1}
    assert run.out == f"{song}  Rock   → techno 0.812  unknown\n"
    assert song.read_bytes() == before
    assert not run.undo_file.exists()


@pytest.mark.parametrize(
    ("ranked", "min_confidence", "max_genres", "expected"),
    [
        (TECHNO, 0.0, 1, ["techno"]),
        (TECHNO, 0.8125, 3, ["techno"]),
        (TECHNO, 0.1, 2, ["techno", "waltz"]),
        (TECHNO, 0.1, 20, ["techno", "waltz"]),
        (TECHNO, 0.0, 20, ["techno", "waltz", "funk"]),
        (TECHNO, 0.9, 3, []),
        ([("unknown", 0.9), ("techno", 0.1)], 0.0, 2, []),
        ([("techno", 0.6), ("unknown", 0.3), ("funk", 0.1)], 0.0, 2, ["techno", "funk"]),
        ([], 0.0, 1, []),
    ],
)
def test_the_most_probable_genres_are_chosen(
    ranked: Ranked, min_confidence: float, max_genres: int, expected: list[str]
) -> None:
    chosen = chosen_genres(ranked, min_confidence=min_confidence, max_genres=max_genres)
    assert [genre for genre, _ in chosen] == expected


def test_several_genres(song: Path, run: Run) -> None:
    assert run([song], {"song.mp3": TECHNO}, write=True, min_confidence=0.1, max_genres=3) == {"changed": 1}
    tags = TinyTag.get(song)
    assert [tags.genre, *tags.other["genre"]] == ["techno", "waltz"]
    assert f"{song}  Rock   → techno 0.812, waltz 0.125  changed\n" == run.out


def test_files_with_a_genre_can_be_left_and_are_not_predicted(song: Path, run: Run, mp3_bytes: bytes) -> None:
    bare = song.with_name("bare.mp3")
    bare.write_bytes(mp3_bytes)
    found = run([song, bare], lambda _: TECHNO, write=True, only_missing=True)
    assert found == {"unchanged": 1, "changed": 1}
    assert run.predicted == [str(bare)]
    assert (TinyTag.get(song).genre, TinyTag.get(bare).genre) == ("Rock", "techno")
    assert [line.split()[1:] for line in run.out.splitlines()] == [
        ["Rock", "→", "Rock", "unchanged"],
        ["none", "→", "techno", "0.812", "changed"],
    ]


def test_a_link_stays_and_its_target_is_changed(song: Path, run: Run, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.mp3"
    link.parent.mkdir()
    link.symlink_to("../song.mp3")
    assert run([link], lambda _: TECHNO, write=True) == {"changed": 1}
    assert link.readlink() == Path("../song.mp3")
    assert TinyTag.get(song).genre == "techno"
    assert os.listdir(link.parent) == ["link.mp3"]
    assert read_changes(str(run.undo_file))[0].path == str(song)


def test_files_that_fail_are_one_line_each_and_the_others_go_on(
    song: Path, run: Run, tmp_path: Path, mp3_bytes: bytes
) -> None:
    tag = raw_tags.id3_tag([raw_tags.id3_frame("TIT2", b"\x03Title")], padding=9)
    contents = {
        "text.mp3": b"no music",
        "empty.flac": b"",
        "broken.mp3": tag[:-1] + b"x" + mp3_bytes,
        "read-only.mp3": mp3_bytes,
        "linked.mp3": mp3_bytes,
        "silent.mp3": mp3_bytes,
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "read-only.mp3").chmod(0o444)
    os.link(tmp_path / "linked.mp3", tmp_path / "second.mp3")
    (tmp_path / "folder.mp3").mkdir()
    os.mkfifo(tmp_path / "pipe.mp3")

    def predict(path: str) -> Ranked:
        if path.endswith("silent.mp3"):
            raise AudioError("silent", "the file is silent")
        return TECHNO

    names = [*contents, "folder.mp3", "pipe.mp3", "none.mp3"]
    for write in (False, True):
        found = run([*(tmp_path / name for name in names), song], predict, write=write)
        assert found == {"failed": len(names), "changed": 1}
        errors = dict(line.removeprefix("error: ").split(": ", 1) for line in run.err.splitlines()[:-1])
        assert list(errors) == [str(tmp_path / name) for name in names]
        expected = (
            *("its tags are not written: expected one of mp3", "its tags are not written: expected one of mp3"),
            *("its ID3 tag holds bytes in no valid frame", "it is read-only", "it has 2 names (hard links)"),
            *("the file is silent", "Is a directory", "it is no regular file", "No such file or directory"),
        )
        assert [text.startswith(start) for text, start in zip(errors.values(), expected, strict=True)] == [True] * 9
    assert TinyTag.get(song).genre == "techno"
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents


def test_a_file_that_changes_while_it_is_predicted_is_left(song: Path, run: Run) -> None:
    def predict(path: str) -> Ranked:
        song.write_bytes(song.read_bytes() + b"edited")
        return TECHNO

    assert run([song], predict, write=True) == {"failed": 1}
    assert run.err.startswith(f"error: {song}: it was changed meanwhile: run the command again\n")
    assert TinyTag.get(song).genre == "Rock"
    assert not run.undo_file.exists()


def test_the_old_genre_is_on_the_disk_before_the_file_changes(
    song: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, seen = os.replace, []

    def look(source: str, target: str) -> None:
        seen.append(json.loads(run.undo_file.read_text())["old_genres"])
        assert TinyTag.get(song).genre == "Rock"
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    assert run([song], {"song.mp3": TECHNO}, write=True) == {"changed": 1}
    assert seen == [["Rock"]]


def test_a_file_is_not_changed_where_its_old_genre_cannot_be_saved(song: Path, run: Run) -> None:
    run.undo_file.parent.touch()
    with pytest.raises(RunFailedError, match=rf"cannot be written \(.*\): {song} was not changed"):
        run([song], {"song.mp3": TECHNO}, write=True)
    assert TinyTag.get(song).genre == "Rock"
    assert sorted(os.listdir(song.parent)) == ["song.mp3", "undo"]
