import pytest

from beam_pipelines.datasets.find_audio import find_audio


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_all_that_looks_like_audio_is_found_or_named(tmp_path):
    put(
        tmp_path,
        "rock/a.mp3",
        "rock/cover.jpg",
        "rock/a.lrc",
        "rock/._a.mp3",
        ".trash/b.FLAC",
        "folk/c.OFR",
        "folk/d.dff",
    )
    (tmp_path / "jazz").symlink_to("absent")
    found = find_audio(str(tmp_path))
    assert [entry.path for entry in found.files] == [str(tmp_path / "rock/a.mp3")]
    endings, links, hidden = found.notes
    assert endings.startswith(
        "2 audio files left out, with endings that are not read (1 .ofr, 1 .dff): folk/c.OFR, folk/d.dff; "
        "beamtune reads .mp3 .wav"
    )
    assert links == "links that lead nowhere left out (1): jazz"
    assert hidden == "hidden audio files left out (2): .trash/b.FLAC, rock/._a.mp3"


def test_many_names_are_cut(tmp_path):
    put(tmp_path, *(f"{number}.dff" for number in range(8)))
    [note] = find_audio(f"{tmp_path}/").notes
    assert "8 audio files" in note
    assert ": 0.dff, 1.dff, 2.dff, 3.dff, 4.dff, and 3 more; " in note


@pytest.mark.parametrize("name", ["a.txt", "mp3", "a.mp3.part", "a.cue", "a.mp", "a"])
def test_other_files_are_not_mentioned(tmp_path, name):
    put(tmp_path, name)
    found = find_audio(str(tmp_path))
    assert (found.files, found.notes) == ([], [])
