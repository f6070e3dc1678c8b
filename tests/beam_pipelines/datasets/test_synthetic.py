"""Composed music as a data set, local and in a bucket."""

import os
from dataclasses import replace

import pytest

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets import synthetic
from beam_pipelines.datasets.config import FolderDatasetConfig, SyntheticDatasetConfig
from beam_pipelines.datasets.registry import list_tracks

SMALL = {"artists_per_genre": 1, "tracks_per_artist": 1, "duration_s": 1.0}


@pytest.fixture
def bucket(monkeypatch):
    """Text objects by their path; what storage reads."""
    objects = {}
    monkeypatch.setattr(storage, "exists", objects.__contains__)
    monkeypatch.setattr(storage, "read_text", objects.__getitem__)
    return objects


def test_composed_music_is_written_and_listed(tmp_path):
    listing = synthetic.list_tracks(SyntheticDatasetConfig(root=str(tmp_path), **SMALL))
    assert len(listing.tracks) == 5
    assert all(os.path.getsize(track.uri) for track in listing.tracks)


def test_music_to_compose_is_planned_as_it_will_be_listed(tmp_path):
    config = SyntheticDatasetConfig(root=str(tmp_path / "music"), **{**SMALL, "artists_per_genre": 2})
    planned = synthetic.plan_music(config)
    assert not (tmp_path / "music").exists()
    assert (planned.num_missing, planned.duration_s) == (10, 1.0)
    listed = list_tracks(config).tracks
    assert [replace(track, size_bytes=0) for track in planned.tracks] == [
        replace(track, size_bytes=0) for track in listed
    ]
    with planned.open(planned.tracks[3].uri) as file, open(listed[3].uri, "rb") as written:
        assert file.read() == written.read()
    assert synthetic.plan_music(config) is None
    os.remove(listed[3].uri)
    assert synthetic.plan_music(config).num_missing == 1


def test_sizes_of_planned_music_are_about_those_of_the_files(tmp_path):
    config = SyntheticDatasetConfig(root=str(tmp_path), **{**SMALL, "duration_s": 6.0})
    planned = sum(track.size_bytes for track in synthetic.plan_music(config).tracks)
    assert planned == pytest.approx(sum(track.size_bytes for track in synthetic.list_tracks(config).tracks), rel=0.1)


def test_only_composed_music_in_a_local_folder_is_planned():
    assert synthetic.plan_music(SyntheticDatasetConfig(root="gs://bucket/music")) is None
    assert synthetic.plan_music(FolderDatasetConfig(root="music")) is None


def test_progress_is_shown_only_where_music_is_composed(tmp_path, capsys):
    config = SyntheticDatasetConfig(root=str(tmp_path), **SMALL)
    synthetic.list_tracks(config)
    assert capsys.readouterr().err.startswith("composing: 5/5 tracks, ")
    (tmp_path / "tracks.csv").unlink()
    assert len(synthetic.list_tracks(config).tracks) == 5
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("call", [synthetic.list_tracks, lambda config: synthetic.write_tracks(config, num_workers=1)])
def test_music_is_not_composed_in_a_bucket(call, bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="beamtune sync music 'gs://bucket/my music'"):
        call(SyntheticDatasetConfig(root="gs://bucket/my music", **SMALL))
    assert list(tmp_path.iterdir()) == []


def test_music_in_a_bucket_must_have_the_settings(bucket, tmp_path):
    synthetic.write_tracks(SyntheticDatasetConfig(root=str(tmp_path), **SMALL), num_workers=1)
    bucket["gs://bucket/music/synthetic.json"] = (tmp_path / "synthetic.json").read_text()
    with pytest.raises(
        UserError, match="^gs://bucket/music holds composed music with other settings: dataset.seed=0 in"
    ):
        synthetic.list_tracks(SyntheticDatasetConfig(root="gs://bucket/music", **SMALL, seed=1))
    bucket["gs://bucket/music/synthetic.json"] = "{"
    with pytest.raises(UserError, match="^gs://bucket/music holds music that another version of beamtune has composed"):
        synthetic.list_tracks(SyntheticDatasetConfig(root="gs://bucket/music", **SMALL))
