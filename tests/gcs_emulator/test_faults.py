"""What goes wrong with requests, as a client sees it that repeats nothing, and what the log says of it."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import quote

import pytest
from gcs.access_log import Record, count
from gcs.faults import Faults
from gcs.front import TOKEN
from gcs.permissions import ROLES

CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def send(gcs):
    """Sends a request over a new connection without TLS; returns the status and the body."""

    def send(method, path, body=b"", token=TOKEN, agent="test"):
        connection = http.client.HTTPConnection("127.0.0.1", gcs.process.port, timeout=60)
        try:
            headers = {"User-Agent": agent} | ({"Authorization": f"Bearer {token}"} if token else {})
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return send


def media(gcs, name):
    return f"/storage/v1/b/{gcs.bucket}/o/{quote(f'data/{name}', safe='')}?alt=media"


def upload(gcs, name, query=""):
    return f"/upload/storage/v1/b/{gcs.bucket}/o?uploadType=media&name={quote(f'data/{name}', safe='')}{query}"


def message(body):
    return json.loads(body)["error"]["message"]


@pytest.mark.parametrize(("share", "status"), [("unavailable_share", 503), ("too_many_share", 429)])
def test_a_share_of_requests_is_refused(gcs, send, share, status):
    gcs.write("a", b"x")
    gcs.set_faults(Faults(**{share: 0.25}, seed=3))
    statuses = [send("GET", media(gcs, "a"))[0] for _ in range(200)]
    assert set(statuses) == {200, status}
    assert 25 <= statuses.count(status) <= 75
    assert [record.status for record in gcs.requests()] == statuses
    gcs.set_faults(Faults(**{share: 0.25}, seed=3))
    assert [send("GET", media(gcs, "a"))[0] for _ in range(200)] == statuses


def test_a_number_of_faults_can_be_put_at_chosen_requests(gcs, send):
    for name in ("shard-1", "other"):
        gcs.write(name, b"x")
    gcs.set_faults(Faults(unavailable_share=1, kinds=("get",), name_pattern="shard", skip=1, times=2))
    assert [send("GET", media(gcs, "shard-1"))[0] for _ in range(4)] == [200, 503, 503, 200]
    assert send("GET", media(gcs, "other"))[0] == 200
    gcs.set_faults(Faults(unavailable_share=1, clients=("tensorflow",)))
    assert send("GET", media(gcs, "other"))[0] == 200
    assert send("GET", media(gcs, "other"), agent="TSL")[0] == 503


@pytest.mark.parametrize(
    ("fault", "is_written"), [("cut_before", False), ("cut_upload", False), ("cut_reply", True), ("cut_after", True)]
)
@pytest.mark.parametrize("size_bytes", [10, len(CONTENT)])
def test_an_upload_that_is_cut_is_written_or_not(gcs, send, fault, is_written, size_bytes):
    gcs.set_faults(Faults(**{f"{fault}_share": 1}))
    with pytest.raises((http.client.HTTPException, OSError)):
        send("POST", upload(gcs, "a"), CONTENT[:size_bytes])
    [record] = gcs.requests()
    assert (record.status, record.fault, record.kind, record.name) == (0, fault, "insert", "data/a")
    assert gcs.contents() == ({"a": CONTENT[:size_bytes]} if is_written else {})


def test_an_answer_ends_in_the_midst_of_its_body(gcs, send):
    gcs.write("a", CONTENT)
    gcs.set_faults(Faults(cut_reply_share=1))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        send("GET", media(gcs, "a"))
    gcs.set_faults(Faults(truncated_share=1))
    assert send("GET", media(gcs, "a")) == (200, CONTENT[: len(CONTENT) // 2])


def test_whole_units_of_a_part_that_is_cut_are_kept(gcs, send):
    start = upload(gcs, "a").replace("uploadType=media", "uploadType=resumable")
    connection = http.client.HTTPConnection("127.0.0.1", gcs.process.port, timeout=60)
    connection.request("POST", start, headers={"Authorization": f"Bearer {TOKEN}"})
    location = connection.getresponse().headers["Location"]
    connection.close()
    path = location.removeprefix(f"http://127.0.0.1:{gcs.process.port}")
    content = CONTENT * 4
    gcs.set_faults(Faults(cut_upload_share=1, kinds=("chunk",), name_pattern="data/a"))

    def send_part(first, body):
        connection = http.client.HTTPConnection("127.0.0.1", gcs.process.port, timeout=60)
        content_range = f"bytes {first}-{len(content) - 1}/{len(content)}" if body else f"bytes */{len(content)}"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Range": content_range}
        connection.request("PUT", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["Range"]

    with pytest.raises((http.client.HTTPException, OSError)):
        send_part(0, content)
    gcs.set_faults(Faults())
    assert send_part(0, b"") == (308, f"bytes=0-{len(content) // 2 - 1}")
    assert send_part(len(content) // 2, content[len(content) // 2 :])[0] == 200
    assert gcs.contents() == {"a": content}
    assert [record.name for record in gcs.requests()] == ["data/a"] * 4


def test_requests_are_slow(gcs, send):
    gcs.write("a", CONTENT)
    gcs.set_faults(Faults(latency_s=0.2))
    started_s = time.monotonic()
    assert send("GET", media(gcs, "a"))[0] == 200
    assert time.monotonic() - started_s >= 0.2


def test_one_object_is_written_once_in_an_interval(gcs, send):
    gcs.set_faults(Faults(min_write_interval_s=60))
    assert send("POST", upload(gcs, "a"), b"1")[0] == 200
    status, body = send("POST", upload(gcs, "a"), b"2")
    assert (status, json.loads(body)["error"]["errors"][0]["reason"]) == (429, "rateLimitExceeded")
    assert send("DELETE", media(gcs, "a").split("?")[0])[0] == 429
    assert send("POST", upload(gcs, "b"), b"3")[0] == 200
    assert send("GET", media(gcs, "a")) == (200, b"1")
    gcs.set_faults(Faults(min_write_interval_s=0.01))
    time.sleep(0.05)
    assert send("POST", upload(gcs, "a"), b"4")[0] == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_held_request_goes_on_when_the_fault_ends(gcs, send, when):
    gcs.set_faults(Faults(hold=when, kinds=("insert",)))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(send("POST", upload(gcs, "a"), b"x")[0]))
    thread.start()
    gcs.wait_until_held()
    assert gcs.contents() == ({"a": b"x"} if when == "after" else {})
    assert not answers
    gcs.set_faults(Faults())
    thread.join()
    assert answers == [200]


def test_a_request_of_a_client_that_was_killed_while_held_is_not_carried_out(gcs):
    gcs.set_faults(Faults(hold="before"))
    code = (
        "import http.client, sys\n"
        f"connection = http.client.HTTPConnection('127.0.0.1', {gcs.process.port})\n"
        f"connection.request('POST', sys.argv[1], b'x', {{'Authorization': 'Bearer {TOKEN}'}})\n"
        "connection.getresponse()"
    )
    with subprocess.Popen([sys.executable, "-c", code, upload(gcs, "a")]) as client:
        gcs.wait_until_held()
        client.kill()
    gcs.set_faults(Faults())
    deadline_s = time.monotonic() + 60
    while not gcs.requests() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert [(record.status, record.fault) for record in gcs.requests()] == [(0, "hold")]
    assert gcs.contents() == {}


def test_credentials(gcs, send):
    gcs.write("a", b"x")
    status, body = send("GET", media(gcs, "a"), token=None)
    assert (status, message(body).split()[0]) == (401, "Anonymous")
    status, body = send("GET", "/storage/v1/b/no-such-bucket/o", token=None)
    assert (status, message(body)) == (404, "The specified bucket does not exist.")
    assert send("GET", media(gcs, "a"), token="other")[0] == 401  # noqa: S106 (no secret)
    assert json.loads(send("POST", "/token")[1])["access_token"] == TOKEN
    gcs.set_faults(Faults(credentials="expired"))
    status, body = send("GET", media(gcs, "a"))
    assert (status, message(body)) == (401, "Invalid Credentials")
    gcs.set_faults(Faults(credentials="refused"))
    status, body = send("POST", "/token")
    assert (status, json.loads(body)["error"]) == (400, "invalid_grant")


def test_permissions_of_roles(gcs, send):
    gcs.write("a", b"x")
    stat, bucket = media(gcs, "a").split("?")[0], f"/storage/v1/b/{gcs.bucket}"

    def statuses():
        return [
            send("GET", stat)[0],
            send("GET", media(gcs, "none"))[0],
            send("GET", f"{bucket}/o")[0],
            send("GET", bucket)[0],
            send("POST", upload(gcs, "new"), b"x")[0],
            send("POST", upload(gcs, "a"), b"x")[0],
            send("DELETE", stat)[0],
        ]

    gcs.set_faults(Faults(granted=tuple(ROLES["roles/storage.objectAdmin"])))
    assert statuses() == [200, 404, 200, 403, 200, 200, 204]
    _, body = send("GET", bucket)
    assert "storage.buckets.get access to the Google Cloud Storage bucket" in message(body)
    gcs.write("a", b"x")
    gcs.delete("new")
    gcs.set_faults(Faults(granted=tuple(ROLES["roles/storage.objectViewer"])))
    assert statuses() == [200, 404, 200, 403, 403, 403, 403]
    gcs.set_faults(Faults(granted=tuple(ROLES["roles/storage.objectCreator"])))
    assert statuses() == [403, 403, 403, 403, 200, 403, 403]
    _, body = send("POST", upload(gcs, "a"), b"x")
    assert "storage.objects.delete access" in message(body)
    path = f"{bucket}/iam/testPermissions?permissions=storage.objects.create&permissions=storage.objects.get"
    assert json.loads(send("GET", path)[1])["permissions"] == ["storage.objects.create"]
    assert message(send("GET", "/storage/v1/b/none/o")[1]) == "The specified bucket does not exist."


def test_requests_to_a_requester_pays_bucket_name_a_project(gcs, send):
    gcs.write("a", b"x")
    gcs.set_faults(Faults(requester_pays=True))
    status, body = send("GET", media(gcs, "a"))
    assert status == 400
    assert message(body) == "Bucket is a requester pays bucket but no user project provided."
    assert send("GET", media(gcs, "a") + "&userProject=test-project")[0] == 200
    assert send("GET", media(gcs, "a") + "&userProject=other")[0] == 403


def test_the_parts_of_a_batch_are_answered_and_recorded_each(gcs, send):
    gcs.write("a", b"x")
    paths = [media(gcs, name).split("?")[0] for name in ("a", "none")]
    parts = [
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <{index}>\r\n\r\nDELETE {path} HTTP/1.1\r\n\r\n\r\n"
        for index, path in enumerate(paths)
    ]
    connection = http.client.HTTPConnection("127.0.0.1", gcs.process.port, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": 'multipart/mixed; boundary="b"'}
    connection.request("POST", "/batch/storage/v1", "".join([*parts, "--b--"]), headers)
    body = connection.getresponse().read().decode()
    connection.close()
    assert body.index("<response-0>") < body.index("HTTP/1.1 204") < body.index("<response-1>")
    assert body.index("<response-1>") < body.index("HTTP/1.1 404") < body.index("No such object")
    assert gcs.contents() == {}
    records = gcs.requests()
    assert [(record.kind, record.status, record.in_batch) for record in records] == [
        ("delete", 204, True),
        ("delete", 404, True),
        ("batch", 200, False),
    ]
    assert (count(records).requests, count(records).free) == (1, 2)


def test_connections_to_other_hosts_are_refused_and_recorded(gcs):
    with socket.create_connection(("127.0.0.1", gcs.process.port), timeout=60) as connection:
        connection.sendall(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 403")
    [record] = gcs.requests()
    assert (record.kind, record.host) == ("refused", "example.com:443")
    with pytest.raises(AssertionError):
        gcs.check_network()


def test_two_buckets_are_apart_and_a_new_one_has_no_faults(gcs, gcs_server):
    from gcs.fixture import Gcs

    gcs.write("a", b"x")
    gcs.set_faults(Faults(unavailable_share=1))
    other = Gcs(gcs_server, "another-bucket")
    assert other.contents() == {}
    assert other.process.control("state")["faults"]["unavailable_share"] == 0
    assert other.requests() == []


@pytest.mark.parametrize(
    "values",
    [{"unavailable_share": 1.5}, {"cut_after_share": 0.6, "truncated_share": 0.6}, {"kinds": ("none",)}, {"hold": "x"}],
)
def test_faults_that_cannot_be_are_refused(values):
    with pytest.raises(ValueError, match="expected|must be"):
        Faults(**values)


def test_counts_are_of_what_google_bills():
    records = [
        Record(time_s=0, kind="insert", billing_class="A", sent_bytes=5, client="beam"),
        Record(time_s=0, kind="get", billing_class="B", received_bytes=7, client="tensorflow"),
        Record(time_s=0, kind="chunk", billing_class="free", sent_bytes=100, client="beam"),
        Record(time_s=0, kind="token", billing_class="free", sent_bytes=1000),
    ]
    found = count(records)
    assert (found.requests, found.class_a, found.class_b, found.free) == (3, 1, 1, 1)
    assert (found.sent_bytes, found.received_bytes) == (105, 7)
    assert dict(found.clients) == {"beam": 2, "tensorflow": 1}
