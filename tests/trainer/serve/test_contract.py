"""The service keeps to its own OpenAPI document, for generated requests."""

from collections.abc import Callable

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from trainer.serve.app import make_app
from trainer.serve.guard import LOOPBACK_HOSTS
from trainer.serve.platform import Platform
from trainer.serve.service import Service

TOKEN = "x" * 16
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1"}


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_responses_are_as_described(make_service: Callable[..., Service], mode: GenerationMode) -> None:
    app = make_app(make_service(), platform=Platform(), token=TOKEN, hosts=LOOPBACK_HOSTS)
    api = schemathesis.openapi.from_asgi("/openapi.json", app, headers=HEADERS)
    operations = [found.ok() for found in api.get_all_operations()]
    assert {f"{one.method.upper()} {one.path}" for one in operations} == {
        *("POST /v1/predict", "GET /v1/model", "GET /healthz", "GET /readyz", "GET /metrics")
    }
    for operation in operations:

        @settings(
            max_examples=20,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            case.call_and_validate(headers=HEADERS)

        check()
