import os
from types import SimpleNamespace

import pytest
from lease_process import another_command

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download import fetch
from beam_pipelines.download.config import DownloadConfig
from beam_pipelines.download.fetch import download

CLIPS = {"fma_small/": b"", "fma_small/000/000002.mp3": b"mp3" * 500, "fma_small/checksums": b"none"}
TABLES = {"fma_metadata/tracks.csv": b"track_id"}


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data" / "fma"


@pytest.fixture
def run(server, root, impatient, capsys):
    """Downloads into root; returns the lines on standard output."""

    def call(name="fma_small", **fields):
        config = DownloadConfig(name=name, **{"root": str(root), "base_url": server.url, **fields})
        download(config, policy=impatient)
        return capsys.readouterr().out.splitlines()

    return call


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_archive_becomes_its_folder_and_nothing_else_is_left(server, root, run, offer, make_zip):
    offer(make_zip(CLIPS))
    assert run() == [
        f"{root}/fma_small: a few clips",
        f"next: beamtune download fma_metadata root={root}",
    ]
    assert files_in(root) == ["fma_small/000/000002.mp3", "fma_small/checksums"]
    assert (root / "fma_small" / "000" / "000002.mp3").read_bytes() == b"mp3" * 500
    assert [request.path for request in server.requests] == ["/fma_small.zip"]


def test_the_next_command_depends_on_what_is_downloaded(root, run, offer, make_zip):
    offer(make_zip(TABLES, "tables.zip"), "fma_metadata")
    offer(make_zip(CLIPS))
    offer(make_zip({"fma_large/1": b""}, "large.zip"), "fma_large")
    assert run("fma_metadata") == [
        f"{root}/fma_metadata: a few clips",
        f"next: beamtune download fma_small root={root}",
    ]
    prepare = f"next: beamtune prepare dataset=fma dataset.root={root} dataset.subset="
    assert run("fma_small")[1] == f"{prepare}small"
    assert run("fma_large")[1] == f"{prepare}large"
    assert run("fma_metadata") == [f"{root}/fma_metadata exists already", f"{prepare}small"]


def test_a_root_with_a_space_is_quoted_in_the_next_command(tmp_path, run, offer, make_zip):
    offer(make_zip(CLIPS))
    root = f"{tmp_path}/my data"
    assert run(root=root)[1].endswith(f"beamtune download fma_metadata 'root={root}'")


def test_an_existing_folder_is_not_downloaded_again(server, run, root, offer, make_zip):
    offer(make_zip(CLIPS))
    run()
    server.requests.clear()
    assert run()[0] == f"{root}/fma_small exists already"
    assert server.requests == []


def test_a_kept_archive_is_extracted_again(server, root, run, offer, make_zip):
    offer(make_zip(CLIPS))
    run(keep_archive=True)
    assert files_in(root) == ["fma_small.zip", "fma_small/000/000002.mp3", "fma_small/checksums"]
    (root / "fma_small").rename(root / "elsewhere")
    server.requests.clear()
    run(keep_archive=True)
    assert server.requests == []
    assert (root / "fma_small" / "checksums").read_bytes() == b"none"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_base_url_may_end_with_a_slash(server, run, offer, make_zip, slash):
    offer(make_zip(CLIPS))
    run(base_url=server.url + slash)
    assert [request.path for request in server.requests] == ["/fma_small.zip"]


def test_an_interrupted_download_resumes(server, root, run, offer, make_zip):
    archive = offer(make_zip(CLIPS))
    server.then(cut_after_bytes=100).always(status=503)
    with pytest.raises(RunFailedError, match="run the same command to resume"):
        run()
    assert files_in(root) == ["fma_small.zip.partial"]
    server.always()
    server.requests.clear()
    run()
    assert server.ranges == ["bytes=100-"]
    assert files_in(root) == ["fma_small/000/000002.mp3", "fma_small/checksums"]
    assert archive.name == "fma_small"


def test_an_archive_with_another_folder_leaves_no_folder(root, run, offer, make_zip):
    offer(make_zip({**CLIPS, "evil/x": b""}))
    with pytest.raises(UserError, match="its member 'evil/x' is outside the folder fma_small"):
        run()
    assert files_in(root) == ["fma_small.zip"]


def test_an_archive_that_is_too_large_leaves_no_folder(root, run, offer, make_zip):
    offer(make_zip(CLIPS), max_extracted_bytes=1503)
    with pytest.raises(UserError, match="takes more than 1,503 bytes"):
        run()
    assert files_in(root) == ["fma_small.zip"]
    assert sorted(os.listdir(root)) == ["fma_small.zip"]


def test_a_file_much_larger_than_published_is_not_downloaded(root, run, offer, make_zip):
    path = make_zip(CLIPS)
    offer(path, size_bytes=path.stat().st_size // 2)
    with pytest.raises(UserError, match="the file on the server is not the published one"):
        run()
    assert files_in(root) == []


def test_a_wrong_checksum_leaves_nothing(root, run, offer, make_zip):
    offer(make_zip(CLIPS), sha1="0" * 40)
    with pytest.raises(UserError, match="expected 0000"):
        run()
    assert files_in(root) == []


def test_a_file_in_the_place_of_the_folder_is_an_error(root, run, offer, make_zip, server):
    offer(make_zip(CLIPS))
    root.mkdir(parents=True)
    (root / "fma_small").write_text("x")
    with pytest.raises(UserError, match=f"^{root}/fma_small is not a folder"):
        run()
    assert server.requests == []


def test_free_space_is_checked_first(tmp_path, root, run, offer, make_zip, server, monkeypatch):
    offer(make_zip(CLIPS), size_bytes=3 * 2**30, max_extracted_bytes=4 * 2**30)
    seen = []
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: seen.append(path) or SimpleNamespace(free=2**31))
    message = "downloading and extracting fma_small.zip needs 7.0 GiB and 2.0 GiB are free: free some space"
    with pytest.raises(UserError, match=message):
        run()
    assert seen == [str(tmp_path)]
    assert not root.exists()
    assert server.requests == []


def test_an_existing_archive_needs_no_space(root, run, offer, make_zip, monkeypatch):
    path = make_zip(CLIPS)
    archive = offer(path)
    root.mkdir(parents=True)
    (root / archive.filename).write_bytes(path.read_bytes())
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=archive.max_extracted_bytes))
    run()


def test_a_second_process_is_refused_until_the_first_one_is_gone(root, run, offer, make_zip):
    offer(make_zip(CLIPS))
    with another_command(root, name=".fma_small.lock") as process:
        with pytest.raises(
            UserError, match=f"^root={root} is in use by another command: process {process.pid} on .*: wait until"
        ):
            run()
        process.kill()
        process.wait()
        run()
    assert files_in(root) == ["fma_small/000/000002.mp3", "fma_small/checksums"]


def test_another_archive_can_be_downloaded_to_the_same_folder_at_the_same_time(root, run, offer, make_zip):
    offer(make_zip(CLIPS))
    with another_command(root, name=".fma_metadata.lock"):
        run()
    assert files_in(root) == [".fma_metadata.lock", "fma_small/000/000002.mp3", "fma_small/checksums"]


def test_the_lock_file_of_a_killed_process_is_ignored(root, run, offer, make_zip):
    offer(make_zip(CLIPS))
    root.mkdir(parents=True)
    (root / ".fma_small.lock").touch()
    run()
    assert files_in(root) == ["fma_small/000/000002.mp3", "fma_small/checksums"]


def test_a_root_that_cannot_be_created_is_named(tmp_path, run, offer, make_zip):
    offer(make_zip(CLIPS))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="root=.*file/fma cannot be written to: Not a directory"):
        run(root=str(tmp_path / "file" / "fma"))


def test_each_phase_is_shown(run, offer, make_zip, server, root, impatient, capsys):
    offer(make_zip(CLIPS))
    server.then(status=503)
    config = DownloadConfig(name="fma_small", root=str(root), base_url=server.url)
    download(config, policy=impatient)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        f"{server.url}/fma_small.zip: the server answered with status 503 Service Unavailable; trying again in 0 s"
    )
    assert [line.rpartition(",")[0] for line in lines[1:]] == [
        f"{phase} fma_small.zip: 1/1 MiB" for phase in ("downloading", "checking", "extracting")
    ]
