"""The files that are served: the page, and the documentation of the API."""

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
import swagger_ui_bundle
from served_requests import error_of
from starlette.testclient import TestClient

from trainer.serve import page_files as page_files_module

MakeClient = Callable[..., TestClient]


def test_the_documentation_loads_its_own_files_alone(make_client: MakeClient) -> None:
    client = make_client()
    page = client.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    loaded = re.findall('(?:src|href)="([^"]*)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith("/docs/")
        assert client.get(path).status_code == 200
    bundle = Path(str(swagger_ui_bundle.swagger_ui_path)) / "swagger-ui-bundle.js"
    assert client.get("/docs/swagger-ui-bundle.js").content == bundle.read_bytes()
    assert 'url: "/openapi.json"' in client.get("/docs/start.js").text


def test_the_page_has_a_fixed_list_of_files(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    page.mkdir()
    for name, content in {"index.html": "<p>", "page.js": "1", "page.css": "p{}", "notes.md": "x"}.items():
        (page / name).write_text(content)
    real_files = resources.files
    monkeypatch.setattr(
        page_files_module.resources,
        "files",
        lambda package: tmp_path if package == "trainer.serve" else real_files(package),
    )
    client = make_client(token="x" * 16)
    (page / "later.js").write_text("2")
    for path, content_type, content in (
        ("/", "text/html; charset=utf-8", "<p>"),
        ("/page.js", "text/javascript; charset=utf-8", "1"),
        ("/page.css", "text/css; charset=utf-8", "p{}"),
    ):
        response = client.get(path)  # without the token
        assert (response.status_code, response.headers["Content-Type"], response.text) == (200, content_type, content)
        assert response.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
            "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert response.headers["Permissions-Policy"].startswith("microphone=(self)")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
    for path in ("/notes.md", "/later.js", "/page/index.html", "/page%2fpage.js"):
        assert error_of(client.get(path)) == (401, "token")
