"""Files in a bucket, by both clients, on the emulator."""

from dataclasses import replace
from pathlib import Path

import pytest
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common.bucket_errors import BucketError, BucketOutageError
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.retries import StorageConfig
from trainer.common import bucket_files, files

CONTENT = bytes(range(256)) * 1_000


@pytest.fixture(params=["python", "tensorflow"])
def client(request: pytest.FixtureRequest, gcs_here: Gcs, monkeypatch: pytest.MonkeyPatch) -> str:
    """The client that a test uses; its name as the emulator has it."""
    if request.param == "tensorflow":
        monkeypatch.setattr(bucket_files, "is_installed", lambda: False)
    return str(request.param)


def test_files_are_written_read_listed_and_removed(gcs_here: Gcs, client: str, tmp_path: Path) -> None:
    url = gcs_here.url
    files.write_text(f"{url}/a/text", "straße\n")
    files.write_text(f"{url}/a/empty", "")
    with files.open_to_write(f"{url}/a/b/bytes") as sink:
        sink.write(CONTENT)
    with pytest.raises(ZeroDivisionError), files.open_to_write(f"{url}/a/never") as sink:
        sink.write(CONTENT)
        raise ZeroDivisionError
    assert gcs_here.contents() == {"a/text": "straße\n".encode(), "a/empty": b"", "a/b/bytes": CONTENT}
    assert (files.read_text(f"{url}/a/text"), files.read_bytes(f"{url}/a/empty")) == ("straße\n", b"")
    assert files.list_dir(f"{url}/a") == ["b/", "empty", "text"]
    assert files.list_if_exists(f"{url}/a/") == ["b", "empty", "text"]
    assert files.list_if_exists(f"{url}/absent") == []
    for name, exists in {"a": True, "a/": True, "a/text": True, "a/tex": False, "absent": False}.items():
        assert files.exists(f"{url}/{name}") is exists, name
    assert files.size_bytes(f"{url}/a/b/bytes") == len(CONTENT)

    with files.download(f"{url}/a/b/bytes") as copy:
        assert copy.read() == CONTENT
    files.copy(f"{url}/a/b/bytes", f"{url}/copy")
    files.copy(f"{url}/copy", str(tmp_path / "copy"))
    files.copy(str(tmp_path / "copy"), f"{url}/again")
    assert gcs_here.read("again") == CONTENT

    files.remove(f"{url}/a/text")
    files.remove(f"{url}/a/text")
    assert set(gcs_here.contents("a")) == {"b/bytes", "empty"}
    files.remove(f"{url}/a")
    assert gcs_here.contents("a") == {}
    assert {record.client for record in gcs_here.requests()} - {"other"} == {client}


def test_a_missing_file_is_an_error(gcs_here: Gcs, client: str, tmp_path: Path) -> None:
    absent = f"{gcs_here.url}/absent"
    for read in (files.read_bytes, files.size_bytes, files.list_dir, files.download):
        with pytest.raises(files.MissingFileError) as caught:
            read(absent)
        assert absent in caught.value.message
    with pytest.raises(files.MissingFileError):
        files.copy(absent, str(tmp_path / "copy"))
    with pytest.raises(BucketError, match="the bucket gs://nowhere-of-beamtune does not exist"):
        files.read_bytes("gs://nowhere-of-beamtune/file")


def test_patterns_match_files_and_folders(gcs_here: Gcs) -> None:
    url = gcs_here.url
    for name in ("runs/a1/x.txt", "runs/a2/y.txt", "runs/b/x.txt", "runs/a[1]", "other/a1"):
        gcs_here.write(name, b"")
    for pattern, expected in {
        "runs/a?": ["runs/a1", "runs/a2"],
        "runs/*/": ["runs/a1", "runs/a2", "runs/a[1]", "runs/b"],
        "r*/[ab]*/x.*": ["runs/a1/x.txt", "runs/b/x.txt"],
        "runs/a[1]": ["runs/a[1]"],  # it exists
        "runs/b": ["runs/b"],
    }.items():
        assert files.expand_pattern(f"{url}/{pattern}") == [f"{url}/{name}" for name in expected]
    with pytest.raises(UserError, match="matches nothing: expected a pattern"):
        files.expand_pattern(f"{url}/runs/c*")


@pytest.mark.parametrize("fault", ["truncated", "cut_reply", "unavailable"])
def test_a_file_is_received_whole(gcs_here: Gcs, client: str, fault: str) -> None:
    gcs_here.write("file", CONTENT)
    gcs_here.set_faults(replace(Faults(times=1, kinds=("get",)), **{f"{fault}_share": 1.0}))
    with files.download(f"{gcs_here.url}/file") as copy:
        assert copy.read() == CONTENT
    assert [record.fault for record in gcs_here.requests() if record.fault] == [fault]


def test_a_folder_is_listed_again_after_an_error(gcs_here: Gcs, client: str) -> None:
    gcs_here.write("a [1]/file", CONTENT)
    for fault in ("truncated", "cut_reply", "unavailable"):
        gcs_here.set_faults(replace(Faults(times=1, kinds=("list",)), **{f"{fault}_share": 1.0}))
        assert files.list_dir(f"{gcs_here.url}/a [1]") == ["file"]


def test_a_file_that_is_always_cut_is_an_outage(gcs_here: Gcs, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "")
    StorageConfig(retry_deadline_s=0).apply()
    gcs_here.write("file", CONTENT)
    gcs_here.set_faults(Faults(kinds=("get",), truncated_share=1.0))
    with pytest.raises(BucketOutageError, match=f"{gcs_here.url}/file"):
        files.download(f"{gcs_here.url}/file")
