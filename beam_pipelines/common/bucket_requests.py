"""What all requests to Google Cloud Storage have in common: how long they may take, and the form of checksums."""

import base64
from typing import Any

from beam_pipelines.common.bucket_client import client
from beam_pipelines.common.bucket_errors import is_outage
from beam_pipelines.common.paths import bucket_and_name
from beam_pipelines.common.retries import left_s, note_failure

# To connect, and until an answer comes: the one to a write comes after what the system has buffered is sent, and what
# the service copies is copied.
_CONNECT_S, _ANSWER_S, WRITE_ANSWER_S = 10.0, 20.0, 60.0
# An operation whose deadline is near still has so long for an answer.
_LEAST_ANSWER_S = 5.0
_TRANSFER_RETRIES_S = 60.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 4.0


def blob_of(path: str) -> Any:
    """Returns the client's handle of an object, without a request."""
    bucket, name = bucket_and_name(path)
    return client().bucket(bucket).blob(name)


def look_up(path: str) -> Any:
    """Returns an object with its metadata, by one request; None if there is no such object."""
    bucket, name = bucket_and_name(path)
    return client().bucket(bucket).get_blob(name, timeout=timeout_s(), retry=None)


def timeout_s(answer_s: float = _ANSWER_S) -> tuple[float, float]:
    """Returns how long a request may take to connect, and then until its answer, or a part of it, comes."""
    longest_s = min(answer_s, max(left_s(), _LEAST_ANSWER_S))
    return min(_CONNECT_S, longest_s), longest_s


def request_options(answer_s: float = _ANSWER_S) -> dict[str, Any]:
    """Returns how the client makes requests within `with_retries`: a part that fails is repeated, and not the whole."""
    from google.api_core.retry import Retry

    longest_s = min(_TRANSFER_RETRIES_S, left_s())
    retry = Retry(
        predicate=is_outage,
        initial=_FIRST_PAUSE_S,
        maximum=_LAST_PAUSE_S,
        timeout=longest_s,
        on_error=note_failure,
    )
    return {"timeout": timeout_s(answer_s), "retry": retry if longest_s > 0 else None}


def stored_crc32c(checksum: Any) -> str:
    """Returns a google_crc32c.Checksum as the service writes it: base64 of four big-endian bytes."""
    return base64.b64encode(checksum.digest()).decode()
