"""The files of the page and of the API's documentation, read once: no path of a request reaches the file system."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import swagger_ui_bundle

_CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
# Swagger UI sets styles of elements.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_DOCS_HTML = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>beamtune serve: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_DOCS_SCRIPT = """SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null });
"""
_SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")


@dataclass(frozen=True)
class PageFile:
    """A file that is served.

    Attributes:
        content: Its bytes.
        headers: The headers of the response.
    """

    content: bytes
    headers: Mapping[str, str]


def page_files() -> dict[str, PageFile]:
    """Returns the files of the page by the path of their URL: index.html is `/`."""
    folder = resources.files("trainer.serve") / "page"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda one: one.name) if folder.is_dir() else ():
        content_type = _CONTENT_TYPES.get(entry.name.rpartition(".")[2])
        if content_type is not None:
            path = "/" if entry.name == "index.html" else f"/{entry.name}"
            found[path] = _file(entry.read_bytes(), content_type, policy=_PAGE_POLICY)
    return found


def docs_files() -> dict[str, PageFile]:
    """Returns the files of the documentation of the API, by the path of their URL."""
    return {
        "/docs": _file(_DOCS_HTML.encode(), _CONTENT_TYPES["html"], policy=_DOCS_POLICY),
        "/docs/start.js": _file(_DOCS_SCRIPT.encode(), _CONTENT_TYPES["js"], policy=_DOCS_POLICY),
        **{
            f"/docs/{name}": _file(
                (swagger_ui_bundle.swagger_ui_path / name).read_bytes(),
                _CONTENT_TYPES[name.rpartition(".")[2]],
                policy=_DOCS_POLICY,
            )
            for name in _SWAGGER_FILES
        },
    }


def _file(content: bytes, content_type: str, *, policy: str) -> PageFile:
    return PageFile(
        content,
        {
            "Content-Type": content_type,
            "Content-Security-Policy": policy,
            "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
            "Cache-Control": "no-cache",
        },
    )
