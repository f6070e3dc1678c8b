"""The folder for event files that Vertex AI gives a job."""

import pytest

from trainer.common.vertex_logs import event_directories, vertex_log_dir


@pytest.mark.parametrize("value", [None, "", "/"])
def test_without_the_variable_events_stay_in_the_run_directory(value: str | None) -> None:
    environment = {} if value is None else {"AIP_TENSORBOARD_LOG_DIR": value}
    assert vertex_log_dir(environment=environment) is None
    assert event_directories("runs/a", environment=environment) == ["runs/a"]


@pytest.mark.parametrize("run_dir", ["gs://b/search/trials/0007", "/search/trials/0007/", "0007"])
def test_each_run_has_a_folder_of_its_name(run_dir: str) -> None:
    environment = {"AIP_TENSORBOARD_LOG_DIR": "gs://b/base/logs/"}
    assert vertex_log_dir(environment=environment) == "gs://b/base/logs"
    assert event_directories(run_dir, environment=environment) == [run_dir, "gs://b/base/logs/0007"]
