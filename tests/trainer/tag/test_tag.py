"""The command with a trained model: a run, and its export."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tinytag import TinyTag

from configs.cli import main
from trainer.tag.undo_file import read_changes
from trainer.training.config import TrainConfig

RATE_HZ = 8000


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder of noise in several formats, one file below it, a cut one and a text."""
    folder = tmp_path / "music"
    (folder / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.wav", "b/c.flac", "d.ogg", "e.mp3"):
        soundfile.write(folder / name, rng.normal(0, 0.1, 2 * RATE_HZ), RATE_HZ)
    whole = (folder / "e.mp3").read_bytes()
    (folder / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp3").write_text("no music")
    return folder


def predicted(
    run_dir: str, music: Path, names: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[str, float]]:
    assert main(["predict", run_dir, *(str(music / name) for name in names), "--json", "top_k=1"]) == 0
    found = [one["genres"][0] for one in json.loads(capsys.readouterr().out)]
    return {name: (one["genre"], one["probability"]) for name, one in zip(names, found, strict=True)}


def test_tags_are_shown_written_and_restored(
    shared_config: TrainConfig,
    music: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run_dir = shared_config.run_dir
    files = ("a.wav", "b/c.flac", "cut.mp3", "d.ogg", "e.mp3")
    before = {name: (music / name).read_bytes() for name in files}
    expected = predicted(run_dir, music, files, capsys)

    assert main(["tag", run_dir, "music", "min_confidence=0"]) == 1
    captured = capsys.readouterr()
    assert [line.split() for line in captured.out.splitlines()] == [
        [f"music/{name}", "none", "→", genre, f"{probability:.3f}", "would", "change"]
        for name, (genre, probability) in expected.items()
    ]
    assert "error: music/text.mp3: its tags are not written: expected one of mp3, " in captured.err
    assert "note: music/cut.mp3: " in captured.err
    assert "6 files: 5 would change, 0 unchanged, 0 unknown, 1 failed\n" in captured.err
    assert captured.err.endswith("nothing was written: write=true writes these genres\n")
    assert {name: (music / name).read_bytes() for name in files} == before
    assert not (tmp_path / "tags").exists()

    assert main(["tag", run_dir, "music", "min_confidence=0", "write=true"]) == 1
    captured = capsys.readouterr()
    assert "6 files: 5 changed, 0 unchanged, 0 unknown, 1 failed\n" in captured.err
    assert {name: TinyTag.get(music / name).genre for name in files} == {
        name: genre for name, (genre, _) in expected.items()
    }
    assert predicted(run_dir, music, files, capsys) == expected
    [undo_file] = (tmp_path / "tags").iterdir()
    assert captured.err.endswith(
        f"old genres: tags/{undo_file.name}; beamtune tag undo=tags/{undo_file.name} write=true restores them\n"
    )

    (music / "text.mp3").unlink()
    assert main(["tag", run_dir, "music/*.*", "music/b", "min_confidence=0", "write=true"]) == 0
    assert "5 files: 0 changed, 5 unchanged, 0 unknown, 0 failed\n" in capsys.readouterr().err
    assert list((tmp_path / "tags").iterdir()) == [undo_file]

    assert main(["tag", f"undo=tags/{undo_file.name}", "write=true"]) == 0
    assert "5 files: 5 changed, 0 unchanged, 0 unknown, 0 failed\n" in capsys.readouterr().err
    for name in files:
        assert TinyTag.get(music / name).genre is None
    assert (music / "e.mp3").read_bytes() == before["e.mp3"]
    assert (music / "a.wav").read_bytes() == before["a.wav"]


def test_a_genre_called_unknown_is_not_written(
    finished: TrainConfig, music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genre, _ = predicted(finished.run_dir, music, ["a.wav"], capsys)["a.wav"]
    labels_path = Path(finished.run_dir) / "dataset" / "label.labels.txt"
    labels = labels_path.read_text().splitlines()
    labels[labels.index(genre)] = "unknown"
    labels_path.write_text("\n".join(labels) + "\n")
    assert main(["tag", finished.run_dir, str(music / "a.wav"), "min_confidence=0", "write=true"]) == 0
    assert "1 file: 0 changed, 0 unchanged, 1 unknown, 0 failed\n" in capsys.readouterr().err
    assert TinyTag.get(music / "a.wav").genre is None


def test_work_that_is_interrupted_says_how_it_is_undone(
    shared_config: TrainConfig,
    music: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undo_file = tmp_path / "my undo.jsonl"
    replace = os.replace

    def interrupt_after(source: str, target: str) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt_after)
    words = ["tag", shared_config.run_dir, str(music), "min_confidence=0", "write=true", f"undo_file={undo_file}"]
    assert main(words) == 130
    assert f"beamtune tag undo='{undo_file}' write=true restores them\n" in capsys.readouterr().err
    assert [change.path for change in read_changes(str(undo_file))] == [str(music / "a.wav")]
    assert TinyTag.get(music / "a.wav").genre is not None
    assert not list(music.glob(".*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "tag needs a run directory and music files or folders: beamtune tag RUN FILE_OR_FOLDER…"),
        (["RUN", "gs://bucket/music"], "gs://bucket/music: tags are changed on a local disk only: copy the folder"),
        (["RUN", "none*.mp3"], "none*.mp3 matches nothing: expected a file, a folder or a pattern of these"),
        (["undo=u.jsonl", "RUN", "a.mp3"], "undo=u.jsonl names the files: RUN a.mp3 must be left out"),
        (["undo=u.jsonl"], "u.jsonl cannot be read: No such file or directory"),
        (["RUN", "RUN/config.yaml", "undo_file=RUN/config.yaml"], "RUN/config.yaml is no undo file of beamtune tag"),
        (["none", "RUN/config.yaml"], "none"),
        (
            ["RUN", "a.mp3", "--write"],
            "--write is not an option, but write is a setting; did you mean: beamtune tag RUN a.mp3 write=true",
        ),
    ],
)
def test_a_mistake_is_one_line(
    shared_config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").symlink_to(shared_config.run_dir)
    assert main(["tag", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"beamtune tag: {message}")
    assert captured.err.count("\n") == 1
