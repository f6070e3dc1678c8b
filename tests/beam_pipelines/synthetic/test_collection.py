import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lease_process import another_command, let_another_be_faster

from beam_pipelines.common.errors import UserError
from beam_pipelines.splits.acoustic_fingerprint import AcousticFingerprinter
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import find_duplicates
from beam_pipelines.synthetic import collection
from beam_pipelines.synthetic.collection import (
    CollectionSpec,
    SyntheticTrack,
    compose_track,
    plan_collection,
    write_collection,
)
from beam_pipelines.synthetic.genres import GENRES

SMALL = CollectionSpec(artists_per_genre=1, tracks_per_artist=1, duration_s=1.5, seed=3)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small collection; tests only read it."""
    root = tmp_path_factory.mktemp("finished") / "collection"
    write_collection(root, SMALL, num_workers=1)
    return root


def test_the_default_plan() -> None:
    tracks = plan_collection(CollectionSpec())
    assert len(tracks) == 5 * 8 * 4
    assert len({track.path for track in tracks}) == len(tracks)
    assert len({track.artist for track in tracks}) == 5 * 8
    keys = [(track.genre, track.artist_index, track.track_index) for track in tracks]
    assert keys == sorted(keys)
    assert {track.genre for track in tracks} == set(GENRES)
    for track in tracks:
        slug = track.artist.lower().replace(" ", "-")
        assert track.path == f"{track.genre}/{slug}.{track.track_index:02d}.mp3"


def test_a_plan_is_the_same_every_time_and_depends_on_the_seed() -> None:
    assert plan_collection(SMALL) == plan_collection(SMALL)
    other = CollectionSpec(artists_per_genre=1, tracks_per_artist=1, duration_s=1.5, seed=4)
    assert {track.artist for track in plan_collection(SMALL)} != {track.artist for track in plan_collection(other)}


def test_a_larger_collection_holds_the_smaller_one() -> None:
    larger = CollectionSpec(artists_per_genre=9, tracks_per_artist=5, duration_s=1.5, seed=3)
    assert set(plan_collection(SMALL)) < set(plan_collection(larger))
    track = plan_collection(SMALL)[0]
    np.testing.assert_array_equal(compose_track(track, SMALL)[0], compose_track(track, larger)[0])


def test_tracks_differ() -> None:
    spec = CollectionSpec(artists_per_genre=2, tracks_per_artist=2, duration_s=1.0)
    samples = [compose_track(track, spec)[0].tobytes() for track in plan_collection(spec)]
    assert len(set(samples)) == len(samples)


def test_the_search_for_duplicates_tells_the_songs_of_an_artist_apart() -> None:
    spec, fingerprinter = CollectionSpec(), AcousticFingerprinter()
    tracks = [track for track in plan_collection(spec) if track.artist in ("Electric Zephyrs", "Jagged Rivers")]
    assert len(tracks) == 8
    fingerprints = []
    for track in tracks:
        samples, sample_rate_hz = compose_track(track, spec)
        fingerprints.append(fingerprinter(samples.mean(axis=1), sample_rate_hz=sample_rate_hz))
    names = [track.path for track in tracks]
    assert find_duplicates(names, [spec.duration_s] * 8, fingerprints, DuplicatesConfig()) == []


def test_files_decode_to_the_requested_duration_and_rate(finished: Path) -> None:
    for track in plan_collection(SMALL):
        info = soundfile.info(finished / track.path)
        assert (info.format, info.samplerate, info.channels) == ("MP3", 22_050, 2)
        samples, _ = soundfile.read(finished / track.path, dtype="float32")
        assert samples.shape == (round(1.5 * 22_050), 2)
        assert 0.05 < float(np.max(np.abs(samples))) < 1.0


def test_the_table_lists_the_plan(finished: Path) -> None:
    with open(finished / "tracks.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "genre", "artist", "title"]
    assert rows[1:] == [[t.path, t.genre, t.artist, t.title] for t in plan_collection(SMALL)]
    assert sorted(contents(finished)) == sorted(
        ["synthetic.json", "tracks.csv", *(track.path for track in plan_collection(SMALL))]
    )


def test_the_marker_holds_the_parameters(finished: Path) -> None:
    assert json.loads((finished / "synthetic.json").read_text()) == {
        "composer_version": 2,
        "artists_per_genre": 1,
        "tracks_per_artist": 1,
        "duration_s": 1.5,
        "seed": 3,
    }


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(finished: Path, tmp_path: Path) -> None:
    reported: list[SyntheticTrack] = []
    tracks = write_collection(tmp_path / "two", SMALL, num_workers=2, on_track_done=reported.append)
    assert contents(tmp_path / "two") == contents(finished)
    assert tracks == plan_collection(SMALL)
    assert sorted(track.path for track in reported) == sorted(track.path for track in tracks)


def test_a_finished_collection_is_reused_without_work(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise AssertionError("composed a track again")

    monkeypatch.setattr("beam_pipelines.synthetic.collection.compose_track", fail)
    times_ns = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    reported: list[SyntheticTrack] = []
    assert write_collection(finished, SMALL, on_track_done=reported.append) == plan_collection(SMALL)
    assert reported == plan_collection(SMALL)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == times_ns


def test_an_interrupted_run_is_completed(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "killed"
    tracks = plan_collection(SMALL)
    done: list[SyntheticTrack] = []

    class KilledError(Exception):
        pass

    def die_after_two(track: SyntheticTrack) -> None:
        done.append(track)
        if len(done) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        write_collection(root, SMALL, num_workers=1, on_track_done=die_after_two)
    assert sorted(contents(root)) == sorted(["synthetic.json", *(track.path for track in tracks[:2])])
    kept = root / tracks[0].path
    kept_time_ns = kept.stat().st_mtime_ns
    (kept.parent / ".half.mp3.123.partial").write_bytes(b"half of it")
    (root / tracks[1].path).write_bytes(b"")
    write_collection(root, SMALL, num_workers=1)
    assert kept.stat().st_mtime_ns == kept_time_ns
    assert contents(root) == contents(finished)


def test_one_command_at_a_time_writes_a_collection(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "both"
    with another_command(root) as process:
        with pytest.raises(
            UserError, match=f"^dataset.root={root} is in use by another command: process {process.pid}"
        ):
            write_collection(root, SMALL, num_workers=1)
        assert [path.name for path in root.iterdir()] == [".beamtune-lease"]
        process.kill()
        process.wait()
        write_collection(root, SMALL, num_workers=1)
    assert contents(root) == contents(finished)


def test_a_finished_collection_is_read_while_another_command_holds_it(finished: Path, tmp_path: Path) -> None:
    root = shutil.copytree(finished, tmp_path / "copy")
    reported: list[SyntheticTrack] = []
    with another_command(root):
        write_collection(root, SMALL, on_track_done=reported.append)
    assert reported == plan_collection(SMALL)


def test_a_second_writer_that_was_faster_is_not_composed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_other() -> None:
        write_collection(tmp_path, replace(SMALL, seed=4), num_workers=1)

    let_another_be_faster(
        collection,
        write_other,
        monkeypatch=monkeypatch,
    )
    with pytest.raises(UserError, match="other settings: dataset.seed=4 in the folder, 3 asked for"):
        write_collection(tmp_path, SMALL, num_workers=1)


def test_a_deleted_file_is_written_again(finished: Path, tmp_path: Path) -> None:
    root = tmp_path / "deleted"
    write_collection(root, SMALL, num_workers=1)
    (root / plan_collection(SMALL)[2].path).unlink()
    write_collection(root, SMALL, num_workers=1)
    assert contents(root) == contents(finished)


def test_a_run_killed_before_its_marker_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".synthetic.json.123.partial").write_text("{")
    write_collection(tmp_path, SMALL, num_workers=1)
    assert (tmp_path / "tracks.csv").exists()


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"mine")
    with pytest.raises(UserError, match=f"did you mean dataset=folder dataset.root={tmp_path}") as error:
        write_collection(tmp_path, SMALL)
    assert str(tmp_path) in str(error.value)
    assert contents(tmp_path) == {"song.mp3": b"mine"}


def test_settings_that_differ_from_those_of_a_collection_are_named(finished: Path) -> None:
    other = replace(SMALL, duration_s=20.0, tracks_per_artist=2)
    with pytest.raises(UserError) as error:
        write_collection(finished, other)
    assert str(error.value) == (
        f"{finished} holds composed music with other settings: dataset.tracks_per_artist=1 in the folder, 2 asked for; "
        "dataset.duration_s=1.5 in the folder, 20 asked for: give dataset.tracks_per_artist=1 dataset.duration_s=1.5, "
        "or another dataset.root"
    )


OF_ANOTHER_VERSION = json.dumps({**collection._marker(SMALL), "composer_version": 1})


@pytest.mark.parametrize("marker", ['{"seed": 3}', "not json", "[]", OF_ANOTHER_VERSION])
def test_a_collection_of_another_version_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "synthetic.json").write_text(marker)
    with pytest.raises(UserError, match="another version of beamtune") as error:
        write_collection(tmp_path, SMALL)
    assert str(error.value).startswith(f"{tmp_path} holds music")
    assert str(error.value).endswith(f"to prepare it as it is: dataset=csv dataset.path={tmp_path}/tracks.csv")
    assert contents(tmp_path) == {"synthetic.json": marker.encode()}


def test_a_file_in_the_roots_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        write_collection(tmp_path / "file", SMALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("artists_per_genre", 0),
        ("artists_per_genre", 1.5),
        ("tracks_per_artist", -1),
        ("tracks_per_artist", True),
        ("seed", -1),
        ("seed", "0"),
        ("duration_s", 0.99),
        ("duration_s", 600.1),
        ("duration_s", float("nan")),
        ("duration_s", float("inf")),
        ("duration_s", "20"),
        ("duration_s", True),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(UserError) as error:
        CollectionSpec(**{name: value})  # type: ignore[arg-type]
    assert str(error.value).startswith(f"{name}={value!r}: expected ")


@pytest.mark.parametrize("duration_s", [1, 1.0, 600])
def test_the_ends_of_the_duration_range_are_allowed(duration_s: float) -> None:
    assert CollectionSpec(duration_s=duration_s).duration_s == duration_s


@pytest.mark.parametrize("num_workers", [0, -2])
def test_the_number_of_workers_is_checked_before_anything_is_written(tmp_path: Path, num_workers: int) -> None:
    with pytest.raises(UserError, match="num_workers"):
        write_collection(tmp_path / "new", SMALL, num_workers=num_workers)
    assert not (tmp_path / "new").exists()


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="dataset.root=.*file/music cannot be written to: Not a directory"):
        write_collection(tmp_path / "file" / "music", CollectionSpec())
