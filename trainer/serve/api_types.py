"""The JSON of requests and responses, as the API's document describes it."""

from typing import Any

from pydantic import BaseModel, Field

from trainer.serve.body import FORM_TYPE, RAW_TYPES
from trainer.serve.multipart_file import FIELD


class GenreProbability(BaseModel):
    """A genre and its probability."""

    genre: str
    probability: float = Field(ge=0, le=1)


class TimelineSegment(BaseModel):
    """The most probable genre of a segment."""

    start_s: float = Field(ge=0)
    duration_s: float = Field(gt=0)
    genre: str
    probability: float = Field(ge=0, le=1)


class PredictionAnswer(BaseModel):
    """The prediction for a file."""

    duration_s: float = Field(gt=0, description="Seconds of audio that were decoded.")
    expected_duration_s: float | None = Field(description="Seconds of audio according to the headers of the file.")
    is_partial: bool = Field(description="Whether the file is damaged or cut, so that less was decoded.")
    num_segments: int = Field(ge=1)
    label: str = Field(description='The most probable genre, or "unknown".')
    genres: list[GenreProbability] = Field(description="All genres, the most probable first.")
    timeline: list[TimelineSegment] = Field(description="The segments; silent ones are left out.")


class Limits(BaseModel):
    """What is refused."""

    max_upload_bytes: int
    max_duration_s: float


class ModelAnswer(BaseModel):
    """The model of the service."""

    name: str
    kind: str = Field(description='"run" or "export".')
    labels: list[str]
    segment_duration_s: float
    limits: Limits
    min_confidence: float
    beamtune_version: str


class StateAnswer(BaseModel):
    """The state of the service."""

    status: str


class ErrorDetails(BaseModel):
    """Why there is no result."""

    reason: str = Field(description="A short name to count by.")
    message: str = Field(description="A sentence.")


class ErrorAnswer(BaseModel):
    """An error."""

    error: ErrorDetails


_ERRORS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "A page of another site sent the request.",
    405: "The path has no such method.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "The content type is not accepted.",
    421: "The header Host does not name this service.",
    422: "The file cannot be decoded, is silent or is too long.",
    431: "The headers are too long.",
    500: "The service failed.",
    503: "The service is loading, stopping or busy: try again later.",
}
# Of all routes.
_COMMON_ERRORS = (400, 401, 403, 405, 421, 431, 500)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the errors of a route for its description, with those of all routes."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, *_COMMON_ERRORS}):
        found[status] = {"model": ErrorAnswer, "description": _ERRORS[status]}
        if status == 503:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
            }
    return found


def audio_body() -> dict[str, Any]:
    """Returns the description of a request with an audio file."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {"type": "object", "required": [FIELD], "properties": {FIELD: {"type": "string", "format": "binary"}}}
    return {
        "required": True,
        "content": {FORM_TYPE: {"schema": form}, "audio/*": binary, **dict.fromkeys(RAW_TYPES, binary)},
    }
