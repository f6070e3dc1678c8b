"""JSON texts with a checksum, so that a file that was truncated or changed is detected."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_END = "\n}\n"


class DamagedFileError(Exception):
    """A text is not one that `dump_checked` returned; the message says what is wrong."""


def dump_checked(payload: Mapping[str, Any]) -> str:
    """Returns a JSON text with the payload and its checksum; the same payload gives the same text."""
    text = json.dumps(payload, sort_keys=True, allow_nan=False)
    return f"{_header(text)}\n{text}{_END}"


def load_checked(text: str) -> dict[str, Any]:
    """Returns the payload of a text.

    Raises:
        DamagedFileError: The text is damaged.
    """
    if not text:
        raise DamagedFileError("it is empty")
    if not text.endswith(_END):
        raise DamagedFileError(f"it is truncated after {len(text)} characters")
    header, _, rest = text.partition("\n")
    payload = rest.removesuffix(_END)
    if header != _header(payload):
        raise DamagedFileError("its checksum is wrong")
    content: dict[str, Any] = json.loads(payload)
    return content


def _header(payload: str) -> str:
    return f'{{"sha256": "{hashlib.sha256(payload.encode()).hexdigest()}", "payload":'
