"""Tokens, names of hosts, origins of pages, and the headers of responses."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from served_requests import RAW, error_of, noise_wav
from starlette.testclient import TestClient

from beam_pipelines.common.errors import UserError
from trainer.serve.guard import read_token
from trainer.serve.platform import Platform

MakeClient = Callable[..., TestClient]
TOKEN = "0123456789abcdef-ABCDEF"  # noqa: S105
SONG = noise_wav(1.0)


def test_the_token_opens_all_that_is_not_public(make_client: MakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client(token=TOKEN, platform=Platform(health_route="/health", predict_route="/predict"))
    for path in ("/healthz", "/readyz", "/health"):
        assert client.get(path).status_code == 200
    closed = ("/v1/model", "/metrics", "/openapi.json", "/docs", "/docs/start.js", "/no-such-path")
    for given in (None, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer é"):
        headers = {} if given is None else {"Authorization": given.encode("latin-1")}
        for path in closed:
            response = client.get(path, headers=headers)
            assert error_of(response) == (401, "token")
            assert response.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/v1/predict", "/predict"):
            assert error_of(client.post(path, content=SONG, headers={**RAW, **headers})) == (401, "token")
    for given in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
        assert client.get("/v1/model", headers={"Authorization": given}).status_code == 200
        response = client.post("/v1/predict", content=SONG, headers={**RAW, "Authorization": given})
        assert response.status_code == 200
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err


@pytest.mark.parametrize("content", ["", "short", "0123456789 abcdef", "0123456789abcdef\nsecond line", "é" * 20])
def test_a_file_without_a_token_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(UserError, match=re.escape(f"token_file={path}: ")) as caught:
        read_token(str(path))
    assert content.strip() == "" or content not in str(caught.value)
    with pytest.raises(UserError, match=re.escape(f"token_file={tmp_path / 'none'}: it cannot be read: No such file")):
        read_token(str(tmp_path / "none"))


def test_a_token_ends_at_the_end_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(str(path)) == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080"])
def test_names_of_this_machine_are_hosts(make_client: MakeClient, host: str) -> None:
    assert make_client().get("/v1/model", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost@evil.example", "", "[", "192.0.2.1"],
)
def test_other_hosts_are_421(make_client: MakeClient, host: str) -> None:
    for path in ("/", "/healthz", "/v1/model"):
        assert error_of(make_client().get(path, headers={"Host": host})) == (421, "wrong_host")


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:8080"}, True),
        ({"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://127.0.0.1:8081"}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"}, False),
        ({"Host": "music.example", "Origin": "https://music.example"}, True),
        ({"Origin": "https://music.example"}, True),  # a proxy that sends its own Host
        ({"Host": "music.example", "Origin": "https://evil.example"}, False),
    ],
)
def test_pages_of_other_origins_cannot_send_files(
    make_client: MakeClient, headers: dict[str, str], is_allowed: bool
) -> None:
    client = make_client(hosts=["127.0.0.1", "localhost", "music.example"])
    response = client.post("/v1/predict", content=SONG, headers={**RAW, **headers})
    if is_allowed:
        assert response.status_code == 200
    else:
        assert error_of(response) == (403, "cross_origin")


def test_a_body_with_two_lengths_is_400_and_ends_the_connection(make_client: MakeClient) -> None:
    headers = {**RAW, "Content-Length": str(len(SONG)), "Transfer-Encoding": "chunked"}
    response = make_client().post("/v1/predict", content=SONG, headers=headers)
    assert error_of(response) == (400, "two_lengths")
    assert response.headers["Connection"] == "close"


def test_methods_of_clients_are_not_in_the_log(make_client: MakeClient, capsys: pytest.CaptureFixture[str]) -> None:
    client = make_client()
    assert error_of(client.request("A" * 1000, "/")) == (405, "method_not_allowed")
    assert client.get("/healthz").status_code == 200
    methods = [json.loads(line)["method"] for line in capsys.readouterr().err.splitlines()]
    assert methods == ["other", "GET"]


def test_all_responses_have_the_headers_of_security(make_client: MakeClient) -> None:
    client = make_client(token=TOKEN)
    for response in (client.get("/healthz"), client.get("/v1/model"), client.get("/no-such-path")):
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert re.fullmatch("[0-9a-f]{16}", response.headers["X-Request-Id"])
        assert "Server" not in response.headers
        assert not any(name.lower().startswith("access-control") for name in response.headers)


def test_other_paths_and_methods_are_errors_in_the_same_form(make_client: MakeClient) -> None:
    client = make_client()
    for path in ("/no-such-path", "/docs/../../etc/passwd", "/docs/%2e%2e/x", "/..%2fetc/passwd", "/index.html"):
        assert error_of(client.get(path)) == (404, "not_found")
    # No redirection, whose address would have the host that the client names.
    assert error_of(client.post("/v1/predict/", follow_redirects=False)) == (404, "not_found")
    response = client.get("/v1/predict")
    assert error_of(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"
