import re

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import (
    bucket_and_name,
    bucket_and_prefix,
    check_apart,
    is_in_bucket,
    is_local,
    is_within,
    scheme,
)


def test_schemes():
    assert [scheme(path) for path in ("gs://b/a", "/a", "a/b://c", "C:/a", "s3n+x://a", "://a")] == [
        "gs",
        None,
        None,
        None,
        "s3n+x",
        None,
    ]


@pytest.mark.parametrize(
    ("path", "kind", "parts"),
    [
        ("gs://b/a//c/", "bucket", ("b", "a//c/")),
        ("gs://b/", "bucket", ("b", "")),
        ("gs://b", "bucket", ("b", "")),
        ("gs://", "bucket", ("", "")),
        ("gs:///a", "bucket", ("", "a")),
        ("GS://b/a", "other", None),
        ("s3://b/a", "other", None),
        ("gs:/b/a", "local", None),
        ("a/gs://b", "local", None),
        ("", "local", None),
    ],
)
def test_where_a_path_is(path, kind, parts):
    assert (is_local(path), is_in_bucket(path)) == (kind == "local", kind == "bucket")
    if parts is not None:
        assert bucket_and_name(path) == parts


def test_the_prefix_of_a_folder_ends_with_a_slash_unless_it_is_a_whole_bucket():
    for path, prefix in [("gs://b/a", "a/"), ("gs://b/a/c//", "a/c/"), ("gs://b", ""), ("gs://b//", "")]:
        assert bucket_and_prefix(path) == ("b", prefix)


def test_paths_within_a_folder(tmp_path):
    (tmp_path / "music" / "wav").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "music")
    music = str(tmp_path / "music")
    assert is_within(music, music)
    assert is_within(f"{music}/wav/", music)
    assert is_within(str(tmp_path / "link" / "new"), f"{music}/")
    assert not is_within(f"{music}2", music)
    assert not is_within(music, f"{music}/wav")
    assert is_within("gs://bucket/music/wav", "gs://bucket/music/")
    assert not is_within("gs://bucket/music2", "gs://bucket/music")
    assert not is_within("gs://bucket/music", "/bucket")
    assert is_within("/anywhere", "/")


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("data", "data"),
        ("data", "data/"),
        ("data", "./data"),
        ("data", "data/new/run"),
        ("data/set", "data"),
        ("data/set", "."),
        ("link", "data"),
        ("link", "data/new"),
        ("gs://b/data", "gs://b/data/run"),
    ],
)
def test_folders_that_contain_each_other_are_refused(tmp_path, monkeypatch, source, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "link").symlink_to("data")
    message = f"run_dir={output} and data_dir={source} are one folder, or one lies in the other: choose another run_dir"
    with pytest.raises(UserError, match=re.escape(message)):
        check_apart({"data_dir": source}, {"run_dir": output})


def test_folders_beside_each_other_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_apart({"data_dir": "data"}, {"run_dir": "data2", "folds_dir": None})
    check_apart({"data_dir": "???"}, {"run_dir": "???"})
    check_apart({"data_dir": None}, {"run_dir": "data"})
    check_apart({"data_dir": "gs://b/data"}, {"run_dir": "data"})
