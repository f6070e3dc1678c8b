from collections.abc import Iterable

import pytest

from beam_pipelines.common import retries
from configs import bucket_paths
from configs.command import load_config
from trainer.compare.config import CompareConfig
from trainer.crossval.config import CrossvalConfig
from trainer.training.config import TrainConfig

Checked = list[tuple[list[str], list[str]]]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Returns the paths that are read and written of each check; the environment is restored after the test."""
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "600")
    calls: Checked = []

    def check_access(*, read: Iterable[str], written: Iterable[str]) -> None:
        calls.append((sorted(read), sorted(written)))

    monkeypatch.setattr(bucket_paths, "check_access", check_access)
    return calls


def test_each_path_in_a_bucket_is_checked(checked: Checked) -> None:
    load_config(TrainConfig, "train", ["data_dir=gs://a/data", "run_dir=gs://b/run"])
    load_config(TrainConfig, "train", ["data_dir=data", "run_dir=run"])
    load_config(CrossvalConfig, "crossval", ["data_dir=gs://a/data", "output_dir=out", "folds_dir=gs://c/folds"])
    assert checked == [(["gs://a/data"], ["gs://b/run"]), ([], []), (["gs://a/data"], ["gs://c/folds"])]


def test_files_of_a_table_are_written_and_of_many_paths_one_in_each_bucket_is_read(checked: Checked) -> None:
    paths = ["gs://a/1", "gs://a/2", "local", "gs://b/3"]
    load_config(CompareConfig, "compare", ["output.csv=gs://c/table.csv"], paths=paths)
    assert checked == [(["gs://a/1", "gs://b/3"], ["gs://c/table.csv"])]


def test_addresses_of_services_are_no_paths(checked: Checked) -> None:
    config = load_config(
        TrainConfig, "train", ["data_dir=data", "run_dir=run", "mlflow.tracking_uri=http://127.0.0.1:5"]
    )
    assert config.mlflow.tracking_uri == "http://127.0.0.1:5"


def test_the_deadline_is_that_of_the_settings(checked: Checked) -> None:
    load_config(CompareConfig, "compare", ["storage.retry_deadline_s=7"])
    assert retries.retry_deadline_s() == 7
    load_config(CompareConfig, "compare", [])
    assert retries.retry_deadline_s() == 600
