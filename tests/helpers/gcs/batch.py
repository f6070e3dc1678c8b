"""Batches: several requests in the body of one, https://cloud.google.com/storage/docs/batch."""

import email.parser
import email.policy
import http
from collections.abc import Callable
from urllib.parse import urlsplit

from gcs.calls import Answer, Call

_BOUNDARY = "batch_of_answers"


def answer_batch(call: Call, answer: Callable[[Call], Answer]) -> Answer:
    """Returns the answers to the requests in a batch, in their order.

    Args:
        call: The batch.
        answer: Carries one request out.
    """
    header = f"content-type: {call.headers['content-type']}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(header + call.body)
    parts = []
    for part in message.iter_parts():
        found = answer(_inner_call(call, part.get_payload(decode=True)))
        phrase = http.HTTPStatus(found.status).phrase
        lines = [
            f"--{_BOUNDARY}",
            "Content-Type: application/http",
            f"Content-ID: <response-{str(part['content-id'] or '').strip().strip('<>')}>",
            "",
            f"HTTP/1.1 {found.status} {phrase}",
            *(f"{name}: {value}" for name, value in found.headers.items()),
            f"Content-Length: {len(found.body)}",
            "",
            found.body.decode(),
        ]
        parts.append("\r\n".join(lines))
    body = "\r\n".join([*parts, f"--{_BOUNDARY}--", ""]).encode()
    return Answer(200, {"content-type": f"multipart/mixed; boundary={_BOUNDARY}"}, body)


def _inner_call(batch: Call, text: bytes) -> Call:
    head, _, body = text.partition(b"\r\n\r\n" if b"\r\n\r\n" in text else b"\n\n")
    first, *lines = head.decode().splitlines()
    method, address, *_ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    for name in ("authorization", "user-agent"):
        if name in batch.headers:
            headers.setdefault(name, batch.headers[name])
    parsed = urlsplit(address)
    target = f"{parsed.path}?{parsed.query}" if parsed.query else parsed.path
    return Call(method, target, headers, body.rstrip(b"\r\n"), batch.scheme, batch.host)
