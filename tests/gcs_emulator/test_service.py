"""The answers of the emulator, without a network. What is expected is from Google's reference of the JSON interface."""

import base64
import json
from urllib.parse import quote, urlsplit

import google_crc32c
import pytest
from gcs.calls import Call
from gcs.service import Service

BUCKET = "bucket"


@pytest.fixture
def service():
    made = Service()
    made.make_bucket(BUCKET)
    return made


def send(service, method, path, body=b"", **headers):
    return service.answer(Call(method, path, {name.replace("_", "-"): value for name, value in headers.items()}, body))


def insert(service, name, content, query=""):
    path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}{query}"
    return send(service, "POST", path, content, content_type="application/octet-stream")


def object_path(name, query=""):
    return f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}{query}"


def read(service, name, **headers):
    return send(service, "GET", object_path(name, "?alt=media"), **headers)


def start_upload(service, name, query=""):
    answer = send(service, "POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name={name}{query}")
    assert answer.status == 200
    address = urlsplit(answer.headers["location"])
    assert address.scheme == "https"
    return f"{address.path}?{address.query}"


def listing(service, query=""):
    answer = send(service, "GET", f"/storage/v1/b/{BUCKET}/o{query}")
    assert answer.status == 200
    return answer.json()


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n--\r\n", b"{}", bytes(range(256)) * 300])
def test_objects_are_read_as_they_were_written(service, content):
    resource = insert(service, "a", content).json()
    assert read(service, "a").body == content
    assert resource["size"] == str(len(content))
    assert resource["crc32c"] == base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()


def test_names_are_not_paths(service):
    names = [
        "a/b",
        "a//b",
        "a/./b",
        "a/../b",
        "/a/b",
        "a/b/",
        "a\\b",
        "ä ?#%&=+",
        "a/compose",
        "a/acl",
        "o/rewriteTo/b/x/o/y",
    ]
    for name in names:
        insert(service, name, name.encode())
    assert [item["name"] for item in listing(service)["items"]] == sorted(names)
    for name in names:
        assert read(service, name).body == name.encode()
        assert send(service, "DELETE", object_path(name)).status == 204
        assert read(service, name).status == 404
    assert "items" not in listing(service)


def test_a_new_generation_is_higher_than_the_one_before(service):
    generations = [int(insert(service, "a", b"x").json()["generation"]) for _ in range(5)]
    assert generations == sorted(set(generations))


@pytest.mark.parametrize("kind", ["media", "resumable", "multipart"])
def test_generation_0_writes_only_what_does_not_exist(service, kind):
    def write(content):
        query = "&ifGenerationMatch=0"
        if kind == "media":
            return insert(service, "a", content, query)
        if kind == "resumable":
            answer = send(service, "POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=a{query}")
            if answer.status != 200:
                return answer
            address = urlsplit(answer.headers["location"])
            return send(service, "PUT", f"{address.path}?{address.query}", content)
        head = b'--x\r\ncontent-type: application/json\r\n\r\n{"name": "a"}\r\n--x\r\ncontent-type: a/b\r\n\r\n'
        body = head + content + b"\r\n--x--"
        path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart{query}"
        return send(service, "POST", path, body, content_type='multipart/related; boundary="x"')

    assert write(b"first").status == 200
    refused = write(b"second")
    assert refused.status == 412
    assert refused.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    assert read(service, "a").body == b"first"


def test_a_write_with_another_generation_is_refused(service):
    first = insert(service, "a", b"first").json()["generation"]
    second = insert(service, "a", b"second", f"&ifGenerationMatch={first}").json()["generation"]
    assert insert(service, "a", b"third", f"&ifGenerationMatch={first}").status == 412
    assert insert(service, "b", b"new", f"&ifGenerationMatch={first}").status == 412
    assert insert(service, "a", b"third", f"&ifGenerationNotMatch={second}").status == 412
    assert read(service, "a").body == b"second"


def test_of_two_resumable_uploads_of_a_new_object_one_ends(service):
    one, other = (start_upload(service, "a", "&ifGenerationMatch=0") for _ in range(2))
    assert send(service, "PUT", one, b"one").status == 200
    assert send(service, "PUT", other, b"other").status == 412
    assert read(service, "a").body == b"one"


def test_reads_and_deletions_have_preconditions(service):
    generation = insert(service, "a", b"x").json()["generation"]
    other = int(generation) + 1
    for method in ("GET", "DELETE"):
        assert send(service, method, object_path("a", f"?ifGenerationMatch={other}")).status == 412
        assert send(service, method, object_path("a", f"?generation={other}")).status == 404
        assert send(service, method, object_path("missing", f"?ifGenerationMatch={other}")).status == 404
    assert send(service, "GET", object_path("a", f"?ifGenerationNotMatch={generation}")).status == 304
    assert send(service, "GET", object_path("a", "?ifMetagenerationMatch=9")).status == 412
    assert send(service, "DELETE", object_path("a", f"?ifGenerationMatch={generation}")).status == 204
    assert send(service, "DELETE", object_path("a")).status == 404


@pytest.mark.parametrize("verb", ["rewriteTo", "copyTo"])
def test_copies_have_preconditions_on_both_objects(service, verb):
    source = insert(service, "a", b"x").json()["generation"]
    insert(service, "b", b"old")
    path = object_path("a") + f"/{verb}/b/{BUCKET}/o/b"
    assert send(service, "POST", path + "?ifGenerationMatch=0").status == 412
    assert send(service, "POST", path + "?ifSourceGenerationMatch=1").status == 412
    assert send(service, "POST", path + "?sourceGeneration=1").status == 404
    assert send(service, "POST", object_path("none") + f"/{verb}/b/{BUCKET}/o/b").status == 404
    assert read(service, "b").body == b"old"
    assert send(service, "POST", path + f"?sourceGeneration={source}").status == 200
    assert read(service, "b").body == b"x"
    assert service.resource(BUCKET, "b")["generation"] > source


@pytest.mark.parametrize("quotes", [json.dumps, str])  # TensorFlow's body is in single quotes
def test_objects_are_joined(service, quotes):
    insert(service, "a", b"one ")
    insert(service, "b", b"two")
    body = quotes({"sourceObjects": [{"name": "a"}, {"name": "b"}]}).encode()
    assert send(service, "POST", object_path("c") + "/compose", body).status == 200
    assert read(service, "c").body == b"one two"
    assert send(service, "POST", object_path("c") + "/compose?ifGenerationMatch=0", body).status == 412
    missing = json.dumps({"sourceObjects": [{"name": "none"}]}).encode()
    assert send(service, "POST", object_path("c") + "/compose", missing).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-5", 206, b"2345", "bytes 2-5/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-4", 206, b"6789", "bytes 6-9/10"),
        ("bytes=-40", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=10-12", 416, b"", "bytes */10"),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(service, asked, status, body, content_range):
    insert(service, "a", b"0123456789")
    answer = read(service, "a", range=asked)
    assert (answer.status, answer.body, answer.headers.get("content-range")) == (status, body, content_range)
    xml = send(service, "GET", f"/{BUCKET}/a", range=asked)  # the interface that TensorFlow reads by
    assert (xml.status, xml.body) == (status, body)


def test_a_range_of_an_empty_object_is_not_satisfiable(service):
    insert(service, "a", b"")
    assert read(service, "a", range="bytes=0-99").status == 416


def test_listings_come_in_pages_of_names_and_folders(service):
    names = [f"d/{index:03}" for index in range(7)] + ["d/sub/x", "d/sub/y", "d/sub2/z", "other"]
    for name in names:
        insert(service, name, b"")
    found, token, pages = [], "", 0
    while True:
        page = listing(service, f"?prefix=d/&delimiter=/&maxResults=3&pageToken={token}")
        found += [item["name"] for item in page.get("items", [])] + page.get("prefixes", [])
        assert len(page.get("items", [])) + len(page.get("prefixes", [])) <= 3
        pages += 1
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert sorted(found) == [*names[:7], "d/sub/", "d/sub2/"]
    assert pages == 3
    between = listing(service, "?startOffset=d/003&endOffset=d/005")["items"]
    assert [item["name"] for item in between] == ["d/003", "d/004"]


def test_a_page_has_at_most_1000_names(service):
    for index in range(1001):
        insert(service, f"{index:04}", b"")
    page = listing(service, "?maxResults=5000")
    assert len(page["items"]) == 1000
    assert [item["name"] for item in listing(service, f"?pageToken={page['nextPageToken']}")["items"]] == ["1000"]


def test_an_upload_in_parts_tells_what_has_arrived(service):
    upload = start_upload(service, "a")
    unit = 256 * 1024
    content = bytes(range(256)) * 2048  # two units
    status = send(service, "PUT", upload, content_range=f"bytes */{len(content)}")
    assert (status.status, status.headers) == (308, {})
    first = send(service, "PUT", upload, content[:unit], content_range=f"bytes 0-{unit - 1}/{len(content)}")
    assert (first.status, first.headers["range"]) == (308, f"bytes=0-{unit - 1}")
    assert read(service, "a").status == 404
    last = send(service, "PUT", upload, content[unit:], content_range=f"bytes {unit}-{2 * unit - 1}/{len(content)}")
    assert last.status == 200
    assert read(service, "a").body == content
    again = send(service, "PUT", upload, content_range=f"bytes */{len(content)}")
    assert (again.status, again.json()["generation"]) == (200, last.json()["generation"])


def test_of_a_part_that_is_cut_whole_units_are_kept(service):
    upload = start_upload(service, "a")
    content = bytes(range(256)) * 4096
    call = Call("PUT", upload, {"content-range": f"bytes 0-{len(content) - 1}/{len(content)}"}, b"")
    service.keep_part(call, content[: 700 * 1024])
    status = send(service, "PUT", upload, content_range=f"bytes */{len(content)}")
    assert status.headers["range"] == f"bytes=0-{2 * 256 * 1024 - 1}"
    rest = content[2 * 256 * 1024 :]
    content_range = f"bytes {2 * 256 * 1024}-{len(content) - 1}/{len(content)}"
    assert send(service, "PUT", upload, rest, content_range=content_range).status == 200
    assert read(service, "a").body == content


def test_of_a_part_that_is_sent_again_what_was_kept_is_ignored(service):
    upload = start_upload(service, "a")
    unit = 256 * 1024
    content = bytes(range(256)) * 4096  # four units
    part = Call("PUT", upload, {"content-range": f"bytes 0-{3 * unit - 1}/{len(content)}"}, b"")
    service.keep_part(part, content[: 2 * unit])
    # By a client that does not ask first: the part of which two units were kept, a whole one that was, and the rest.
    for first, end in [(0, 3), (0, 2), (1, 3)]:
        content_range = f"bytes {first * unit}-{end * unit - 1}/{len(content)}"
        again = send(service, "PUT", upload, content[first * unit : end * unit], content_range=content_range)
        assert (again.status, again.headers["range"]) == (308, f"bytes=0-{3 * unit - 1}")
    content_range = f"bytes {2 * unit}-{4 * unit - 1}/{len(content)}"
    assert send(service, "PUT", upload, content[2 * unit :], content_range=content_range).status == 200
    assert read(service, "a").body == content


def test_an_unknown_upload_is_missing(service):
    assert send(service, "PUT", f"/upload/storage/v1/b/{BUCKET}/o?upload_id=none", b"x").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/storage/v1/b/none"),
        ("GET", "/storage/v1/b/none/o"),
        ("GET", "/storage/v1/b/none/o/x"),
        ("GET", "/none/x"),
        ("POST", "/upload/storage/v1/b/none/o?uploadType=media&name=x"),
        ("POST", "/upload/storage/v1/b/none/o?uploadType=resumable&name=x"),
    ],
)
def test_a_missing_bucket_is_named_as_such(service, method, path):
    answer = send(service, method, path)
    assert answer.status == 404
    assert answer.json()["error"]["message"] == "The specified bucket does not exist."
