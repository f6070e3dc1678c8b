"""`beamtune tune`: two commands in one search_dir."""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lease_process import another_command, let_another_be_faster

from beam_pipelines.common.errors import UserError
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.tuner import tune as tune_module
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.leader_lease import LostLeadershipError
from trainer.tuner.tune import tune

SPACE = "search:\n  optimizer.learning_rate: {log: [0.003, 0.1]}\n"
CHIEF = {
    "KERASTUNER_TUNER_ID": "chief",
    "KERASTUNER_ORACLE_IP": "127.0.0.1",
    "KERASTUNER_ORACLE_PORT": "8000",
}


@pytest.fixture
def config(write_prepared: Callable[..., Path], tmp_path: Path) -> SearchConfig:
    return SearchConfig(
        search_dir=str(tmp_path / "search"),
        run_dir=str(tmp_path / "search" / "refit"),
        data_dir=str(write_prepared()),
        model=Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2]),
    )


def run(config: SearchConfig, *, environment: Mapping[str, str]) -> int:
    stream = io.StringIO()
    return tune(config, space_text=SPACE, command=[], to_overrides=lambda _: [], stream=stream, environment=environment)


def test_a_chief_does_not_mix_its_search_with_one_that_another_chief_has_started(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(config, global_batch_size=config.global_batch_size + 1)
    let_another_be_faster(
        tune_module, lambda: SearchDir(config.search_dir).start(other, space_text=SPACE), monkeypatch=monkeypatch
    )
    with pytest.raises(UserError, match=r"is a search with other settings .global_batch_size was \d+ and is \d+"):
        run(config, environment=CHIEF)


@pytest.mark.parametrize(("error", "num_written"), [(LostLeadershipError, 0), (UserError, 1)])
def test_a_chief_that_was_replaced_writes_no_results(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch, error: type[Exception], num_written: int
) -> None:
    def end(*_: Any, **__: Any) -> None:
        raise error("the end")

    written: list[str] = []
    monkeypatch.setattr("trainer.tuner.service.chief.run_chief", end)
    monkeypatch.setattr(tune_module, "_write_results", lambda config, **_: written.append(config.search_dir))
    with pytest.raises(error, match="the end"):
        run(config, environment=CHIEF)
    assert written == [config.search_dir] * num_written


def test_one_command_at_a_time_evaluates_the_best_trial_on_the_test_split(config: SearchConfig) -> None:
    SearchDir(config.search_dir).start(config, space_text=SPACE)
    again = replace(config, refit=True)
    with another_command(Path(config.search_dir)) as process:
        with pytest.raises(UserError, match=f"^search_dir=.* is in use by another command: process {process.pid} on "):
            run(again, environment={})
        process.kill()
        process.wait()
        with pytest.raises(UserError, match="has no search: start one with"):
            run(again, environment={})
    assert not (Path(config.search_dir) / ".beamtune-lease").exists()
