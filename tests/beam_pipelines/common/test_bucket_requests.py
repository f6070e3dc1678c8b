"""How long requests to buckets may take."""

import pytest

from beam_pipelines.common.bucket_requests import timeout_s
from beam_pipelines.common.retries import StorageConfig, with_retries


@pytest.mark.parametrize(
    ("deadline_s", "answer_s", "expected_s"),
    [(600.0, 20.0, (10.0, 20.0)), (600.0, 8.0, (8.0, 8.0)), (15.0, 60.0, (10.0, 15.0)), (1.0, 60.0, (5.0, 5.0))],
)
def test_a_request_ends_at_the_deadline_of_its_operation_or_after_5_s(
    monkeypatch: pytest.MonkeyPatch, deadline_s: float, answer_s: float, expected_s: tuple[float, float]
) -> None:
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "")  # restored after the test
    monkeypatch.setattr("beam_pipelines.common.retries.time.monotonic", lambda: 100.0)
    StorageConfig(retry_deadline_s=deadline_s).apply()
    assert timeout_s(answer_s) == expected_s
    assert with_retries(lambda: timeout_s(answer_s), path="gs://music/a") == expected_s
