"""The body of a request, written to a temporary file while it arrives, within its limits."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import BinaryIO

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from trainer.serve.multipart_file import MultipartFile
from trainer.serve.service_error import ServiceError

FORM_TYPE = "multipart/form-data"
JSON_TYPE = "application/json"
# What is sent as it is: audio/* besides. Browsers call Ogg files application/ogg and M4A files video/mp4.
RAW_TYPES = ("application/octet-stream", "application/ogg", "video/mp4")
# Boundaries and headers of a form, in addition to the file.
_FORM_BYTES = 64 << 10


@asynccontextmanager
async def received_audio(request: Request, *, folder: str, max_bytes: int, timeout_s: float) -> AsyncIterator[BinaryIO]:
    """Receives an audio file, raw or as the field `file` of a form; yields the temporary file, which has a path.

    Args:
        request: The request.
        folder: The folder of the file, which has a name of its own.
        max_bytes: The size of the largest file.
        timeout_s: How long the client may take.

    Raises:
        ServiceError: The content type is not accepted, a limit is exceeded, or the form is malformed.
        starlette.requests.ClientDisconnect: The client is gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    media_type = kind.decode("latin-1")
    if media_type != FORM_TYPE and media_type not in RAW_TYPES and not media_type.startswith("audio/"):
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            f"Send audio as {FORM_TYPE} with a field file, or as it is, as audio/* or {RAW_TYPES[0]}.",
        )
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-") as file:
        target: BinaryIO = file  # type: ignore[assignment]
        form = None
        most = max_bytes
        if media_type == FORM_TYPE:
            form = MultipartFile(options.get(b"boundary"), target=target, max_bytes=max_bytes)
            most += _FORM_BYTES
        async for chunk in _chunks(request, max_bytes=most, timeout_s=timeout_s):
            if form is None:
                target.write(chunk)
            else:
                form.write(chunk)
        if form is not None:
            form.finish()
        target.flush()
        yield target


@asynccontextmanager
async def received_json(request: Request, *, folder: str, max_bytes: int, timeout_s: float) -> AsyncIterator[str]:
    """Receives JSON; yields the path of the temporary file. Arguments and errors are those of `received_audio`."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind.decode("latin-1") != JSON_TYPE:
        raise ServiceError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", f"Send the instances as {JSON_TYPE}.")
    with tempfile.NamedTemporaryFile(dir=folder, prefix="request-") as file:
        async for chunk in _chunks(request, max_bytes=max_bytes, timeout_s=timeout_s):
            file.write(chunk)
        file.flush()
        yield file.name


async def _chunks(request: Request, *, max_bytes: int, timeout_s: float) -> AsyncIterator[bytes]:
    """Yields the body, which may be longer than the header says, or endless."""
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and (len(stated) > 18 or int(stated) > max_bytes):
        raise _too_large(max_bytes)
    num_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                num_bytes += len(chunk)
                if num_bytes > max_bytes:
                    raise _too_large(max_bytes)
                yield chunk
    except TimeoutError as error:
        raise ServiceError(
            HTTPStatus.REQUEST_TIMEOUT, "upload_timeout", f"The request did not arrive within {timeout_s:g} s."
        ) from error


def _too_large(max_bytes: int) -> ServiceError:
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", f"The request has more than {max_bytes} bytes."
    )
