import hashlib
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download import disk
from beam_pipelines.download.http_file import RetryPolicy, download_file

CONTENT = np.random.default_rng(0).bytes(1000)
OTHER = np.random.default_rng(1).bytes(1200)
MAX_BYTES = 10_000


def sha1(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def fetch(tmp_path, impatient):
    """Downloads to tmp_path/got/file.bin, expecting CONTENT; returns all that is in that folder then."""
    folder = tmp_path / "got"
    folder.mkdir()

    def run(url, content=CONTENT, **fields):
        options = {"sha1": sha1(content), "max_bytes": MAX_BYTES, "policy": impatient, **fields}
        download_file(url, str(folder / "file.bin"), **options)
        return left_in(folder)

    run.folder = folder
    return run


def left_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_comes_whole_with_nothing_beside_it_and_says_how_far_it_is(server, fetch):
    seen = []
    assert fetch(server.serve(CONTENT), on_progress=lambda *step: seen.append(step)) == {"file.bin": CONTENT}
    assert [(request.range, request.if_range, request.accept_encoding) for request in server.requests] == [
        ("", "", "identity")
    ]
    assert seen == [("downloading", 1000, 1000), ("checking", 1000, 1000)]


def test_an_empty_file_comes(server, fetch):
    assert fetch(server.serve(b""), b"") == {"file.bin": b""}


def test_a_file_larger_than_a_piece_comes_in_pieces(server, fetch):
    content = np.random.default_rng(2).bytes(300_000)
    seen = []
    got = fetch(server.serve(content), content, max_bytes=300_000, on_progress=lambda *step: seen.append(step))
    assert got == {"file.bin": content}
    assert [done for phase, done, _ in seen if phase == "downloading"] == [65536, 131072, 196608, 262144, 300_000]


def test_cut_connections_are_gone_on_from_to_the_byte(server, fetch):
    lines = []
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=100).then(cut_after_bytes=0).then(cut_after_bytes=250).then(cut_after_bytes=1)
    assert fetch(url, on_retry=lines.append) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=100-", "bytes=100-", "bytes=350-", "bytes=351-"]
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"'
    assert [request.if_range for request in server.requests] == ["", etag, etag, etag, etag]
    assert lines[0].startswith(f"{url}: the connection broke off at byte 100 (")
    assert lines[0].endswith("; trying again in 0 s")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=400),
    cuts=st.lists(st.integers(0, 100), max_size=6),
    chunked=st.booleans(),
)
def test_any_cuts_give_the_same_file(server, tmp_path_factory, content, cuts, chunked):
    server.requests.clear()
    server.replies.clear()
    for cut in cuts:
        server.then(cut_after_bytes=cut, chunked=chunked)
    path = tmp_path_factory.mktemp("any") / "file.bin"
    policy = RetryPolicy(max_failures=len(cuts) + 2, backoff_s=0.0)
    download_file(server.serve(content), str(path), sha1=sha1(content), max_bytes=MAX_BYTES, policy=policy)
    assert left_in(path.parent) == {"file.bin": content}


def test_an_earlier_run_is_gone_on_from(server, fetch):
    server.then(cut_after_bytes=300).always(status=503)
    url = server.serve(CONTENT)
    with pytest.raises(RunFailedError, match="503 Service Unavailable.*the same command goes on where it stopped"):
        fetch(url)
    assert left_in(fetch.folder)["file.bin.partial"] == CONTENT[:300]
    server.requests.clear()
    server.always()
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["bytes=300-"]


def test_a_run_that_was_killed_before_the_checksum_asks_for_nothing_more(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).always(status=503)
    with pytest.raises(RunFailedError):
        fetch(url)
    (fetch.folder / "file.bin.partial").write_bytes(CONTENT)
    server.requests.clear()
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == []


@pytest.mark.parametrize(
    ("validators", "if_range"),
    [(("weak_etag", "last_modified"), "Mon, 01 May 2017 10:00:00 GMT"), (("weak_etag",), ""), ((), "")],
)
def test_a_weak_etag_is_not_relied_on_for_bytes(server, fetch, validators, if_range):
    server.validators = validators
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-"]
    assert server.requests[1].if_range == if_range


def test_a_server_that_ignores_ranges_sends_all_anew(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(ignore_range=True, cut_after_bytes=200).then(ignore_range=True)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-", "bytes=200-"]


def test_a_server_that_ignores_ranges_and_always_breaks_off_is_given_up(server, fetch):
    url = server.serve(CONTENT)
    server.always(ignore_range=True, cut_after_bytes=500)
    with pytest.raises(RunFailedError, match=r"broke off at byte 500 .*the same command goes on"):
        fetch(url)
    assert len(server.requests) == 4


def test_a_changed_file_is_not_glued_to_the_old_half(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(change_to=OTHER)
    assert fetch(url, OTHER) == {"file.bin": OTHER}
    assert server.ranges == ["", "bytes=300-"]


@pytest.mark.parametrize("validators", [("etag",), ("weak_etag",), ()])
def test_a_changed_file_is_noticed_where_the_server_ignores_if_range(server, fetch, validators):
    server.validators = validators
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(change_to=OTHER, ignore_if_range=True)
    assert fetch(url, OTHER) == {"file.bin": OTHER}
    assert server.ranges == ["", "bytes=300-", ""]


def test_a_changed_file_of_the_same_size_is_noticed_by_its_checksum(server, fetch):
    server.validators = ()
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(change_to=CONTENT[::-1])
    with pytest.raises(UserError, match="what came has the SHA-1"):
        fetch(url)
    assert left_in(fetch.folder) == {}


def test_a_half_from_another_address_is_not_used(server, fetch):
    server.then(cut_after_bytes=300).always(status=503)
    with pytest.raises(RunFailedError):
        fetch(server.serve(OTHER, "elsewhere.bin"), OTHER)
    server.always()
    server.requests.clear()
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}
    assert server.ranges == [""]


@pytest.mark.parametrize("note", [None, b"", b"[]", b'{"url": 1}', b'{"url": "x", "more": 1}', b"\xff", b"null"])
def test_a_half_without_a_note_of_where_it_is_from_is_not_used(server, fetch, note):
    (fetch.folder / "file.bin.partial").write_bytes(b"whatever")
    if note is not None:
        (fetch.folder / "file.bin.partial.json").write_bytes(note)
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}
    assert server.ranges == [""]


def test_a_half_that_is_too_long_is_not_used(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).always(status=503)
    with pytest.raises(RunFailedError):
        fetch(url)
    (fetch.folder / "file.bin.partial").write_bytes(CONTENT + b"x")
    server.always()
    server.requests.clear()
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == [""]


def test_status_416_is_the_end_where_the_file_is_all_there(server, fetch):
    url = server.serve(CONTENT)
    # All chunks come and their end does not, so the client cannot know.
    server.then(chunked=True, cut_after_bytes=1000)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=1000-"]


@pytest.mark.parametrize("headers", [{}, {"Content-Range": "bytes */900"}, {"Content-Range": "nonsense"}])
def test_status_416_starts_over_where_it_is_not(server, fetch, headers):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(status=416, headers=headers)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-", ""]


@pytest.mark.parametrize("content_range", ["bytes 200-999/1000", "bytes 301-999/1000", "nonsense", "", "bytes */1000"])
def test_another_part_than_asked_for_is_not_used(server, fetch, content_range):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(content_range=content_range)
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-", ""]


def test_a_part_whose_total_nobody_says_is_used(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(content_range="bytes 300-999/*")
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-"]


def test_a_size_that_is_told_late_is_kept_in_mind(server, fetch):
    url = server.serve(CONTENT)
    server.then(chunked=True, cut_after_bytes=300).then(cut_after_bytes=200).always(status=503)
    with pytest.raises(RunFailedError):
        fetch(url)
    note = json.loads((fetch.folder / "file.bin.partial.json").read_text())
    assert (note["url"], note["size_bytes"]) == (url, 1000)
    server.always()
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges[-1] == "bytes=500-"


def test_a_part_beyond_the_end_is_not_used(server, fetch):
    url = server.serve(CONTENT)
    server.then(chunked=True, cut_after_bytes=300).then(content_range="bytes 300-999/200")
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "bytes=300-", ""]


def test_more_bytes_than_announced_are_not_written(server, fetch):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).then(surplus=b"surplus", content_range="bytes 300-999/1000")
    assert fetch(url) == {"file.bin": CONTENT}


@pytest.mark.parametrize("how", ["chunked", "until_closed"])
def test_a_file_whose_length_nobody_announces_comes(server, fetch, how):
    server.then(**{how: True})
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}


def test_a_cut_file_whose_length_nobody_announces_is_noticed_by_its_checksum(server, fetch):
    server.then(until_closed=True, cut_after_bytes=300)
    with pytest.raises(UserError, match="what came has the SHA-1"):
        fetch(server.serve(CONTENT))
    assert left_in(fetch.folder) == {}


def test_more_than_the_bound_is_not_fetched(server, fetch):
    url = server.serve(CONTENT)
    message = "has 1,000 bytes or more, expected at most 999: the file there is not the published one"
    with pytest.raises(UserError, match=message):
        fetch(url, max_bytes=999)
    server.then(chunked=True)
    with pytest.raises(UserError, match="expected at most 150"):
        fetch(url, max_bytes=150)
    assert left_in(fetch.folder) == {}


def test_a_wrong_checksum_deletes_what_came_and_says_what_to_do(server, fetch):
    url = server.serve(OTHER)
    with pytest.raises(UserError) as caught:
        fetch(url)
    assert str(caught.value) == (
        f"{url}: what came has the SHA-1 {sha1(OTHER)}, expected {sha1(CONTENT)}; it was deleted: give the command "
        "again, and if this comes again, the file there is not the published one"
    )
    assert left_in(fetch.folder) == {}


def test_a_server_that_likes_to_compress_is_told_not_to(server, fetch):
    server.compresses = True
    content = b"a" * 1000
    assert fetch(server.serve(content), content) == {"file.bin": content}


def test_a_compressed_file_that_is_called_an_encoding_keeps_its_bytes(server, fetch):
    server.always(headers={"Content-Encoding": "gzip"})
    server.then(headers={"Content-Encoding": "gzip"}, cut_after_bytes=10)
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}


@pytest.mark.parametrize("status", [403, 404, 410, 204])
def test_a_status_that_will_not_pass_is_named_at_once(server, fetch, status):
    url = server.serve(CONTENT)
    server.always(status=status)
    with pytest.raises(UserError, match=rf"^{url} answered with status {status} [\w ]+: expected a file there"):
        fetch(url)
    assert len(server.requests) == 1
    assert left_in(fetch.folder) == {}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_status_that_may_pass_is_tried_again(server, fetch, status):
    url = server.serve(CONTENT)
    server.then(status=status).then(status=status)
    assert fetch(url) == {"file.bin": CONTENT}
    assert len(server.requests) == 3


def test_a_silent_server_is_tried_again(server, fetch):
    url = server.serve(CONTENT)
    server.then(stall_s=1.0)
    policy = RetryPolicy(max_failures=3, backoff_s=0.0, read_timeout_s=0.2)
    lines = []
    assert fetch(url, policy=policy, on_retry=lines.append) == {"file.bin": CONTENT}
    assert "Read timed out" in lines[0]


def test_redirects_are_followed(server, fetch):
    url = server.serve(CONTENT)
    server.then(location="/file.bin", cut_after_bytes=1).then(cut_after_bytes=300).then(location="/file.bin")
    assert fetch(url) == {"file.bin": CONTENT}
    assert server.ranges == ["", "", "bytes=300-", "bytes=300-"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_lead_to_servers_only(server, fetch, location):
    url = server.serve(CONTENT)
    server.always(location=location)
    with pytest.raises(UserError, match=f"^{url} leads nowhere .*expected a file on a server, http or https"):
        fetch(url)


def test_redirects_in_a_circle_end(server, fetch):
    url = server.serve(CONTENT)
    server.always(location="/file.bin")
    with pytest.raises(UserError, match="leads nowhere"):
        fetch(url)


def test_a_server_that_is_not_there_is_a_failed_run(server, fetch):
    url = server.serve(CONTENT)
    server.http_server.shutdown()
    server.http_server.server_close()
    lines = []
    with pytest.raises(RunFailedError, match=rf"^{url} cannot be fetched \(.*Connection refused\): the same command"):
        fetch(url, on_retry=lines.append)
    assert len(lines) == 2


def test_waits_double_up_to_a_bound():
    policy = RetryPolicy(backoff_s=1.0, max_backoff_s=30.0)
    assert [policy.wait_s(failures) for failures in (0, 1, 2, 3, 5, 6, 60)] == [1, 1, 2, 4, 16, 30, 30]


def test_a_file_that_is_there_is_not_fetched_again(server, fetch):
    (fetch.folder / "file.bin").write_bytes(CONTENT)
    assert fetch(server.serve(CONTENT)) == {"file.bin": CONTENT}
    assert server.requests == []


def test_another_file_of_that_name_is_neither_used_nor_touched(server, fetch):
    (fetch.folder / "file.bin").write_bytes(OTHER)
    with pytest.raises(UserError, match=f"is there with the SHA-1 {sha1(OTHER)}, expected {sha1(CONTENT)}: delete it"):
        fetch(server.serve(CONTENT))
    assert left_in(fetch.folder) == {"file.bin": OTHER}


def test_a_folder_of_that_name_is_an_error(server, fetch):
    (fetch.folder / "file.bin").mkdir()
    with pytest.raises(UserError, match="is no file"):
        fetch(server.serve(CONTENT))


def test_a_full_disk_is_noticed_before_anything_comes(server, fetch, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=999))
    url = server.serve(CONTENT)
    with pytest.raises(UserError, match=rf"downloading {url} needs 0.0 GiB and 0.0 GiB are free: make room"):
        fetch(url)
    assert left_in(fetch.folder) == {}


def test_a_disk_that_fills_up_is_named(server, fetch):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    (fetch.folder / "file.bin.partial").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"file.bin.partial cannot be written"):
        fetch(server.serve(CONTENT))
