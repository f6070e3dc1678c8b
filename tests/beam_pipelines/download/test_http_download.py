import hashlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.http_download import RetryPolicy, download_file

CONTENT = np.random.default_rng(0).bytes(1000)
OTHER = np.random.default_rng(1).bytes(1200)
MAX_BYTES = 10_000


def sha1(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def fetch(tmp_path, impatient, progress):
    """Downloads to tmp_path/got/file.bin, expecting CONTENT; returns the files of that folder."""
    folder = tmp_path / "got"
    folder.mkdir()

    def run(url, content=CONTENT, **fields):
        options = {"sha1": sha1(content), "max_bytes": MAX_BYTES, "policy": impatient, "progress": progress, **fields}
        download_file(url, str(folder / "file.bin"), **options)
        return files_in(folder)

    run.folder = folder
    return run


@pytest.fixture
def interrupted(server, fetch):
    """The address of CONTENT, after a run that downloaded 300 bytes of it; the server works again."""
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).always(status=503)
    with pytest.raises(
        RunFailedError, match=r"503 Service Unavailable\): run the same command to resume after 0.0 MiB"
    ):
        fetch(url)
    assert files_in(fetch.folder) == {"file.bin.partial": CONTENT[:300]}
    server.always()
    server.requests.clear()
    return url


def test_a_file_is_complete_and_its_progress_is_shown(server, fetch, progress):
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}
    # Ranges count bytes of the file, so it must not be compressed.
    assert [(request.range, request.accept_encoding) for request in server.requests] == [("", "identity")]
    assert progress.updates == [("downloading", 1000, 1000), ("checking", 1000, 1000)]
    assert progress.lines == []


def test_an_empty_file(server, fetch):
    assert fetch(server.serve(b""), b"") == {"file.bin": b""}


def test_a_large_file_is_downloaded_in_pieces(server, fetch, progress):
    content = np.random.default_rng(2).bytes(300_000)
    assert fetch(server.serve(content), content, max_bytes=300_000) == {"file.bin": content}
    downloaded = [done for phase, done, _ in progress.updates if phase == "downloading"]
    assert downloaded == [65536, 131072, 196608, 262144, 300_000]


def test_closed_connections_are_resumed(server, fetch, progress):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=100).then(cut_after_bytes=0).then(cut_after_bytes=250).then(cut_after_bytes=1)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=100-", "bytes=100-", "bytes=350-", "bytes=351-"]
    assert len(progress.lines) == 4
    assert all(line.startswith(f"{url}: ") and line.endswith("; trying again in 0 s") for line in progress.lines)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=400),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    chunked=st.booleans(),
)
def test_any_interruptions_give_the_same_file(server, progress, tmp_path_factory, content, cuts, chunked):
    server.requests.clear()
    server.replies.clear()
    for cut in cuts:
        server.then(cut_after_bytes=cut, chunked=chunked)
    path = tmp_path_factory.mktemp("any") / "file.bin"
    policy = RetryPolicy(max_failures=len(cuts) + 2, backoff_s=0.0)
    url = server.serve(content)
    download_file(url, str(path), sha1=sha1(content), max_bytes=MAX_BYTES, progress=progress, policy=policy)
    assert files_in(path.parent) == {"file.bin": content}


def test_an_earlier_run_is_resumed(server, fetch, interrupted):
    assert fetch(interrupted) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=300-"]


def test_a_run_that_was_killed_before_the_checksum_downloads_nothing_more(server, fetch, progress):
    url = server.serve(CONTENT)
    (fetch.folder / "file.bin.partial").write_bytes(CONTENT)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=1000-"]
    assert progress.updates == [("checking", 1000, 1000)]


def test_a_chunked_file_whose_end_is_missing_is_complete_after_status_416(server, fetch):
    url = server.serve(CONTENT)
    server.then(chunked=True, cut_after_bytes=1000)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=1000-"]


def test_a_server_without_ranges_sends_the_whole_file(server, fetch, interrupted):
    server.then(ignore_range=True, cut_after_bytes=200).then(ignore_range=True)
    assert fetch(interrupted) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=300-", "bytes=200-"]


def test_a_server_without_ranges_that_always_fails_at_the_same_byte_is_given_up(server, fetch):
    url = server.serve(CONTENT)
    server.always(ignore_range=True, cut_after_bytes=500)
    with pytest.raises(RunFailedError, match="cannot be downloaded"):
        fetch(url)
    assert len(server.requests) == 4


@pytest.mark.parametrize("partial", [CONTENT[::-1][:300], CONTENT + b"x", OTHER])
def test_a_partial_file_of_another_version_ends_at_the_checksum(server, fetch, partial):
    (fetch.folder / "file.bin.partial").write_bytes(partial)
    url = server.serve(CONTENT)
    with pytest.raises(UserError, match="the downloaded file has the SHA-1"):
        fetch(url)
    assert files_in(fetch.folder) == {}
    assert fetch(url) == {"file.bin": CONTENT}


@pytest.mark.parametrize("content_range", ["bytes 200-999/1000", "bytes 301-999/1000", "nonsense", "", "bytes */1000"])
def test_another_part_than_requested_is_not_used(server, fetch, interrupted, content_range):
    server.then(content_range=content_range)
    assert fetch(interrupted) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=300-", ""]


def test_a_part_whose_total_is_unknown_is_used(server, fetch, interrupted):
    server.then(content_range="bytes 300-999/*")
    assert fetch(interrupted) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=300-"]


@pytest.mark.parametrize("how", ["chunked", "until_closed"])
def test_a_file_without_an_announced_length(server, fetch, how):
    server.then(**{how: True})
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}


def test_an_incomplete_file_without_an_announced_length_ends_at_the_checksum(server, fetch):
    server.then(until_closed=True, cut_after_bytes=300)
    with pytest.raises(UserError, match="the downloaded file has the SHA-1"):
        fetch(server.serve(CONTENT))
    assert files_in(fetch.folder) == {}


def test_no_more_than_the_bound_is_downloaded(server, fetch):
    url = server.serve(CONTENT)
    message = "has 1,000 bytes or more, expected at most 999: the file on the server is not the published one"
    with pytest.raises(UserError, match=message):
        fetch(url, max_bytes=999)
    server.then(chunked=True)
    with pytest.raises(UserError, match="expected at most 150"):
        fetch(url, max_bytes=150)
    assert files_in(fetch.folder) == {}


def test_a_wrong_checksum_deletes_the_file_and_the_error_has_advice(server, fetch):
    url = server.serve(OTHER)
    with pytest.raises(UserError) as caught:
        fetch(url)
    assert str(caught.value) == (
        f"{url}: the downloaded file has the SHA-1 {sha1(OTHER)}, expected {sha1(CONTENT)}, and was deleted: run the "
        "command again; if that fails too, the file on the server is not the published one"
    )
    assert files_in(fetch.folder) == {}


def test_a_file_with_a_content_encoding_keeps_its_bytes(server, fetch):
    server.always(headers={"Content-Encoding": "gzip"})
    server.then(headers={"Content-Encoding": "gzip"}, cut_after_bytes=10)
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}


@pytest.mark.parametrize("status", [403, 404, 410, 204])
def test_a_permanent_status_is_an_error_at_once(server, fetch, status):
    url = server.serve(CONTENT)
    server.always(status=status)
    with pytest.raises(UserError, match=rf"^{url} answered with status {status} [\w ]+: expected a file there"):
        fetch(url)
    assert len(server.requests) == 1
    assert files_in(fetch.folder) == {}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_temporary_status_is_retried(server, fetch, status):
    url = server.serve(CONTENT)
    server.then(status=status).then(status=status)
    assert fetch(url) == {"file.bin": CONTENT}
    assert len(server.requests) == 3


def test_a_silent_server_is_retried(server, fetch, progress):
    url = server.serve(CONTENT)
    server.then(stall_s=2.0)
    policy = RetryPolicy(max_failures=30, backoff_s=0.0, read_timeout_s=0.5)
    assert fetch(url, policy=policy) == {"file.bin": CONTENT}
    assert "Read timed out" in progress.lines[0]


def test_redirects_are_followed(server, fetch):
    url = server.serve(CONTENT)
    server.then(location="/file.bin").then(cut_after_bytes=300).then(location="/file.bin")
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "", "bytes=300-", "bytes=300-"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/file.bin"])
def test_redirects_to_other_schemes_or_in_a_circle_are_an_error(server, fetch, location):
    url = server.serve(CONTENT)
    server.always(location=location)
    with pytest.raises(UserError, match=f"^{url} cannot be used .*: expected a file on an HTTP server"):
        fetch(url)


def test_waits_double_up_to_a_bound():
    policy = RetryPolicy(backoff_s=1.0, max_backoff_s=30.0)
    assert [policy.wait_s(failures) for failures in (0, 1, 2, 3, 5, 6, 60)] == [1, 1, 2, 4, 16, 30, 30]


def test_an_existing_file_is_not_downloaded_again(server, fetch):
    (fetch.folder / "file.bin").write_bytes(CONTENT)
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}
    assert server.requests == []


def test_another_existing_file_is_neither_used_nor_changed(server, fetch):
    (fetch.folder / "file.bin").write_bytes(OTHER)
    with pytest.raises(UserError, match=f"exists with the SHA-1 {sha1(OTHER)}, expected {sha1(CONTENT)}: move it away"):
        fetch(server.serve(CONTENT))
    assert files_in(fetch.folder) == {"file.bin": OTHER}


def test_a_folder_in_the_place_of_the_file_is_an_error(server, fetch):
    (fetch.folder / "file.bin").mkdir()
    with pytest.raises(UserError, match="is not a file"):
        fetch(server.serve(CONTENT))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_an_error(server, fetch):
    (fetch.folder / "file.bin.partial").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"file.bin.partial cannot be written: "):
        fetch(server.serve(CONTENT))
