"""The service keeps to its own OpenAPI document, for generated requests and for a real file."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance
from served_requests import noise_wav

from trainer.serve.app import make_app
from trainer.serve.guard import LOOPBACK_HOSTS
from trainer.serve.platform import Platform
from trainer.serve.service import Service

HEADERS = {"Authorization": f"Bearer {'x' * 16}", "Host": "127.0.0.1"}


@pytest.fixture
def operations(make_service: Callable[..., Service]) -> dict[str, Any]:
    """The operations of the document, by method and path."""
    app = make_app(make_service(), platform=Platform(), token="x" * 16, hosts=LOOPBACK_HOSTS)
    api = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS)
    found = [one.ok() for one in api.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


def test_generated_requests_are_answered_as_described(operations: dict[str, Any]) -> None:
    assert operations.keys() == {
        *("POST /v1/predict", "GET /v1/model", "GET /healthz", "GET /readyz", "GET /metrics"),
    }
    for operation in operations.values():

        @settings(
            max_examples=20,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case: Case) -> None:
            # Any bytes are as described, and few are audio.
            case.call_and_validate(headers=HEADERS, excluded_checks=[positive_data_acceptance])

        check()


@pytest.mark.parametrize("media_type", ["multipart/form-data", "application/octet-stream"])
def test_a_prediction_is_as_described(operations: dict[str, Any], media_type: str) -> None:
    song = noise_wav(1.0)
    body = {"file": song} if media_type == "multipart/form-data" else song
    case = operations["POST /v1/predict"].Case(body=body, media_type=media_type)
    assert case.call_and_validate(headers=HEADERS).status_code == 200


def test_the_document_has_all_errors(operations: dict[str, Any]) -> None:
    described = operations["POST /v1/predict"].definition.raw["responses"]
    assert set(described) == {
        *("200", "400", "401", "403", "405", "408", "413", "415", "421", "422", "431", "500", "503"),
    }
    for status, response in described.items():
        schema = response["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith("/PredictionAnswer" if status == "200" else "/ErrorAnswer")
