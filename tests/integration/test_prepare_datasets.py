"""`beamtune prepare` on data sets in their published layouts, and on duplicate recordings."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.load import content_hash, load_audio
from beam_pipelines.datasets.gtzan import GENRES, fault_filtered_splits
from configs.cli import main

FAST = ["segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=32", "shards.min_shards=1"]


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def prepare(*overrides, output_dir: Path) -> int:
    return main(["prepare", *FAST, *overrides, f"output_dir={output_dir}"])


def splits_of(directory: Path) -> dict[str, str]:
    return {track["track_id"]: track["split"] for track in json_lines(directory / "tracks.jsonl")}


@pytest.fixture
def gtzan_clips():
    """For each genre a clip that is too short, one that is too long, and others of 30 s, in all parts of the split."""
    partition = fault_filtered_splits()
    clips = {}
    for genre in GENRES:
        names = [f"{genre}.{number:05d}" for number in range(100)]
        for split, durations_s in (("train", (29.99, 30.01)), ("validation", (30.0,)), ("test", (30.0,))):
            members = [name for name in names if partition.get(name) == split]
            clips.update(zip(members, durations_s, strict=False))
        left_out = [name for name in names if name not in partition]
        clips.update(dict.fromkeys(left_out[:1], 30.0))
    return clips


@pytest.mark.slow
def test_gtzan_is_prepared_with_its_fault_filtered_split(make_gtzan, gtzan_clips, tmp_path, capsys):
    root = make_gtzan(tmp_path / "gtzan", gtzan_clips)
    bad = root / "genres" / "jazz" / "jazz.00054.au"
    bad.write_bytes(b"no audio at all")
    out = tmp_path / "out"
    assert (
        prepare("dataset=gtzan", f"dataset.root={root}", "segment.duration_s=3", "segment.hop_s=3", output_dir=out) == 0
    )
    printed = capsys.readouterr()

    partition = fault_filtered_splits()
    splits = splits_of(out)
    assert splits == {clip: partition[clip] for clip in gtzan_clips if clip in partition}
    tracks = json_lines(out / "tracks.jsonl")
    assert {track["num_segments"] for track in tracks} == {10}
    assert Counter((track["padded_s"] > 0, track["cut_s"] > 0) for track in tracks) == {
        (True, False): 10,
        (False, True): 10,
        (False, False): 20,
    }
    rejects = {reject["track_id"]: reject for reject in json_lines(out / "rejects.jsonl")}
    excluded = {clip for clip in gtzan_clips if clip not in partition}
    assert {clip for clip, reject in rejects.items() if reject["reason"] == "excluded"} == excluded
    assert rejects["jazz.00054"]["known_fault"].startswith("it is unreadable")
    assert json.loads((out / "stats.json").read_text())["split"] == {"source": "fault_filtered", "leak": None}
    assert "tracks, fault_filtered split" in printed.out
    assert "10 tracks padded with silence to audio.clip_duration_s" in printed.out
    assert "10 tracks cut to audio.clip_duration_s" in printed.out
    assert "known faults of the data set among them: 1 (jazz.00054)" in printed.out
    assert "of the 1000 clips of GTZAN are present" in printed.err


def test_a_random_split_of_gtzan_takes_all_clips_and_is_called_leaky(make_gtzan, gtzan_clips, tmp_path, capsys):
    clips = dict.fromkeys(gtzan_clips, 2.0)
    root = make_gtzan(tmp_path / "gtzan", clips, folder="genres_original", ending="wav")
    out = tmp_path / "out"
    assert (
        prepare("dataset=gtzan", f"dataset.root={root}", "split=random", "audio.clip_duration_s=2", output_dir=out) == 0
    )
    assert splits_of(out).keys() == clips.keys()
    leak = "tracks were split at random, so that an artist's tracks are in training and in the test"
    assert json.loads((out / "stats.json").read_text())["split"] == {"source": "random", "leak": leak}
    printed = capsys.readouterr().out
    assert "tracks, random (leaky) split" in printed
    assert f"leaky split: {leak}; scores on it will be too high" in printed


@pytest.mark.slow
def test_fma_is_prepared_with_its_official_split(make_fma, tmp_path, capsys):
    genres = ["Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock"]
    rows = [
        {"number": 1_000 * genre + n, "genre": name, "split": split, "artist": 10 * genre + n, "duration_s": 3.0}
        for genre, name in enumerate(genres)
        for n, split in enumerate(["training", "training", "validation", "test"], start=2)
    ]
    rows += [
        {"number": 98_565, "genre": "Rock", "split": "training", "duration_s": 0.4},
        {"number": 133_297, "genre": "Rock", "split": "training", "duration_s": 3.0},
        {"number": 140_000, "genre": "Rock", "split": "test", "duration_s": None},
    ]
    root = make_fma(tmp_path / "fma", rows)
    (root / "fma_small" / "133" / "133297.mp3").write_bytes(b"")
    out = tmp_path / "out"
    config = ["dataset=fma", f"dataset.root={root}", "audio.clip_duration_s=3", "max_reject_fraction=0.1"]
    assert prepare(*config, output_dir=out) == 0
    names = {"training": "train", "validation": "validation", "test": "test"}
    good = [row for row in rows if row["number"] not in (98_565, 133_297, 140_000)]
    assert splits_of(out) == {f"{row['number']:06d}": names[row["split"]] for row in good}
    assert (out / "label.labels.txt").read_text().splitlines() == genres
    assert sorted(path.name for path in out.glob("*.tfrecord-*"))[0] == "fma_small-test.tfrecord-00000-of-00001"
    rejects = {reject["track_id"]: reject for reject in json_lines(out / "rejects.jsonl")}
    assert {track_id: reject["reason"] for track_id, reject in rejects.items()} == {
        "098565": "too_short",
        "133297": "empty_file",
        "140000": "missing",
    }
    assert {track_id for track_id, reject in rejects.items() if reject["known_fault"]} == {"098565", "133297"}
    assert json.loads((out / "stats.json").read_text())["split"] == {"source": "official", "leak": None}
    printed = capsys.readouterr()
    assert "1 file (140000.mp3) rejected: in tracks.csv and not on disk" in printed.err
    assert "known faults of the data set among them: 2 (" in printed.out


def test_an_artist_in_two_official_splits_is_named(make_fma, tmp_path, capsys):
    rows = [
        {"number": n, "genre": genre, "split": split, "artist": artist}
        for n, (genre, split, artist) in enumerate(
            [("Rock", "training", 7), ("Rock", "test", 7), ("Pop", "training", 8), ("Pop", "test", 9)], start=2
        )
    ]
    root = make_fma(tmp_path / "fma", rows)
    assert prepare("dataset=fma", f"dataset.root={root}", output_dir=tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "the official splits have the group 'artist 7' in both train and test" in message
    assert "split.source=group makes splits that keep groups apart" in message


def copy_recording(source: Path, target: Path, *, how: str) -> None:
    """Writes the recording of one file to another: the same samples, or a quieter and shorter mp3 of it."""
    samples, rate_hz = soundfile.read(source, dtype="float32")
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "exact":
        soundfile.write(target.with_suffix(".flac"), samples, rate_hz)
    else:
        soundfile.write(target.with_suffix(".mp3"), 0.7 * samples[rate_hz // 3 :], rate_hz)


@pytest.fixture
def noisy_collection(tmp_path):
    """Two genres by six artists of two tracks each, every one a noise of its own that changes all the time."""
    root = tmp_path / "music"
    for index in range(24):
        genre, artist, track = index // 12, index % 12 // 2, index % 2
        rng = np.random.default_rng(index)
        samples = np.repeat(rng.normal(0, 1, 12 * 25), 640) * rng.normal(0, 0.1, 12 * 16_000)
        path = root / f"genre{genre}" / f"artist{genre}{artist}" / f"{track}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.clip(samples, -1, 1).astype(np.float32), 16_000)
    return root


@pytest.mark.parametrize("how", ["exact", "near"])
def test_a_recording_in_two_splits_joins_its_groups_in_one(noisy_collection, tmp_path, capsys, how):
    before = tmp_path / "before"
    assert prepare("dataset=folder", f"dataset.root={noisy_collection}", output_dir=before) == 0
    splits = splits_of(before)
    first = min(track_id for track_id, split in splits.items() if split == "train" and "genre0" in track_id)
    second = min(track_id for track_id, split in splits.items() if split == "test" and "genre0" in track_id)
    copy_recording(noisy_collection / first, (noisy_collection / second).with_name("copy"), how=how)

    after = tmp_path / "after"
    assert prepare("dataset=folder", f"dataset.root={noisy_collection}", output_dir=after) == 0
    tracks = json_lines(after / "tracks.jsonl")
    copy = next(track for track in tracks if "copy" in track["track_id"])
    assert len(tracks) == 25
    [pair] = json_lines(after / "duplicates.jsonl")
    assert {pair["first"]["track_id"], pair["second"]["track_id"]} == {first, copy["track_id"]}
    assert pair["kind"] == how
    assert splits_of(after)[first] == copy["split"]
    groups = {copy["group"], next(track["group"] for track in tracks if track["track_id"] == first)}
    assert len({track["split"] for track in tracks if track["group"] in groups}) == 1
    sides = {(track["group"], track["split"]) for track in tracks}
    assert len(sides) == 12
    assert (pair["outcome"] == "joined") == (pair["first"]["split"] != pair["second"]["split"])
    assert "1 pair of tracks with the same recording (" in capsys.readouterr().out
    assert not (after / ".build").exists()


def write_official_table(root: Path, *, copies: dict[str, str]) -> Path:
    """A table with an official split in which artists 0 to 3 train, 4 validate and 5 test, and the given copies."""
    lines = ["path,genre,artist,part"]
    for path in sorted(root.glob("genre*/artist*/*.wav")):
        artist = path.parent.name
        part = {"4": "validation", "5": "test"}.get(artist[-1], "train")
        lines.append(f"{path.relative_to(root)},{path.parent.parent.name},{artist},{copies.get(path.name, part)}")
    table = root / "tracks.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_official_splits_lose_the_copy_that_would_be_trained_on(noisy_collection, tmp_path, capsys):
    tested = noisy_collection / "genre1" / "artist15" / "0.wav"
    shutil.copy(tested, noisy_collection / "genre0" / "artist00" / "stolen.wav")
    table = write_official_table(noisy_collection, copies={})
    config = ["dataset=csv", f"dataset.path={table}", "dataset.split_column=part"]
    out = tmp_path / "out"
    assert prepare(*config, output_dir=out) == 0
    [reject] = json_lines(out / "rejects.jsonl")
    assert (reject["track_id"], reject["stage"], reject["reason"]) == (
        "genre0/artist00/stolen.wav",
        "duplicates",
        "duplicate",
    )
    assert reject["message"] == "it holds the same recording as genre1/artist15/0.wav, which is in test"
    [pair] = json_lines(out / "duplicates.jsonl")
    assert (pair["kind"], pair["outcome"]) == ("exact", "left_out")
    assert "genre0/artist00/stolen.wav" not in splits_of(out)
    assert splits_of(out)["genre1/artist15/0.wav"] == "test"

    capsys.readouterr()
    reported = tmp_path / "reported"
    assert prepare(*config, "duplicates.mode=report", output_dir=reported) == 0
    assert splits_of(reported)["genre0/artist00/stolen.wav"] == "train"
    assert [pair["outcome"] for pair in json_lines(reported / "duplicates.jsonl")] == ["reported"]
    assert "1 pair of tracks with the same recording (1 in two splits)" in capsys.readouterr().out

    off = tmp_path / "off"
    assert prepare(*config, "duplicates.mode=off", output_dir=off) == 0
    assert json_lines(off / "duplicates.jsonl") == []


def test_a_genre_with_too_few_joined_groups_is_an_error_with_advice(noisy_collection, tmp_path, capsys):
    shutil.rmtree(noisy_collection / "genre0" / "artist03")
    shutil.rmtree(noisy_collection / "genre0" / "artist04")
    shutil.rmtree(noisy_collection / "genre0" / "artist05")
    song = noisy_collection / "genre0" / "artist00" / "0.wav"
    shutil.copy(song, noisy_collection / "genre0" / "artist01" / "copy.wav")
    config = ["dataset=folder", f"dataset.root={noisy_collection}"]
    assert prepare(*config, output_dir=tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "the genre 'genre0' has 2 groups of tracks" in message
    assert "duplicates.mode=report does not join them" in message
    assert prepare(*config, "duplicates.mode=report", output_dir=tmp_path / "out") == 0


def test_audio_is_kept_as_it_was_computed_on(make_collection, tmp_path):
    music = make_collection(tmp_path / "music", ending="mp3", duration_s=2.5)
    config = ["dataset=folder", f"dataset.root={music}", "audio.keep=wav", "audio.clip_duration_s=3"]
    out = tmp_path / "out"
    assert prepare(*config, output_dir=out) == 0
    tracks = json_lines(out / "tracks.jsonl")
    kept = {str(path.relative_to(out)) for path in (out / "audio").rglob("*.wav")}
    assert kept == {f"audio/{track['track_id']}.wav" for track in tracks}
    for track in tracks:
        samples, rate_hz = soundfile.read(out / "audio" / f"{track['track_id']}.wav", dtype="int16")
        assert (len(samples), rate_hz, samples.ndim) == (48_000, 16_000, 1)
        with open(track["uri"], "rb") as source:
            decoded = load_audio(source, AudioConfig())
        by_hand = np.clip(np.rint(decoded.samples * 32768), -32768, 32767).astype(np.int16)
        padded = np.pad(by_hand, (0, max(0, 48_000 - len(by_hand))))[:48_000]
        np.testing.assert_array_equal(samples, padded)
        assert content_hash(decoded) == track["content_hash"]

    assert prepare(*config[:2], "overwrite=true", output_dir=out) == 0
    assert not list((out / "audio").rglob("*.wav"))
