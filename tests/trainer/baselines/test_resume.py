"""`beamtune baselines` again in a folder that it has written to: resuming, and what is refused."""

import os
import re
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from baseline_runs import QUICK, files_of, metrics_of, run
from lease_process import let_another_be_faster

from beam_pipelines.common.errors import RunAgainError, UserError
from beam_pipelines.common.lease import LEASE_FILE
from trainer.baselines import baselines


def test_finished_learners_are_not_fitted_again(make_config, monkeypatch, capsys):
    config = make_config(learners=QUICK)
    first = run(config)
    before = files_of(config.output_dir)
    (Path(config.output_dir) / LEASE_FILE).touch()  # of a command that was killed after its last other file
    monkeypatch.setattr(baselines, "read_vectors", None)
    monkeypatch.setattr(baselines, "fit_best", None)
    capsys.readouterr()
    assert run(config) == first
    assert files_of(config.output_dir) == before
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"{learner}: already finished, in {config.output_dir}/{learner}" for learner in QUICK
    ]


def test_learners_can_be_added(make_config):
    config = make_config(learners=QUICK[:1])
    run(config)
    table = run(replace(config, learners=["knn", *QUICK]))
    assert [line.split()[0] for line in table.splitlines()[2:5]] == ["knn", *QUICK]


def test_an_interrupted_command_resumes_with_the_same_results(make_config, tmp_path, monkeypatch):
    whole = make_config(learners=QUICK, output_dir=str(tmp_path / "whole"))
    run(whole)
    config = make_config(learners=QUICK)

    for interrupted_at in (baselines.write_predictions, baselines.evaluated_levels):
        calls = []

        def interrupt(*arguments, interrupted_at=interrupted_at, calls=calls, **options):
            calls.append(arguments)
            if len(calls) == 4:  # the last split of the second learner
                raise KeyboardInterrupt
            return interrupted_at(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(baselines, interrupted_at.__name__, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(replace(config, output_dir=f"{tmp_path}/{interrupted_at.__name__}"))
        assert not (tmp_path / interrupted_at.__name__ / QUICK[1] / "_SUCCESS").exists()
        run(replace(config, output_dir=f"{tmp_path}/{interrupted_at.__name__}"))
        found, expected = (files_of(tmp_path / name) for name in (interrupted_at.__name__, "whole"))
        assert found.keys() == expected.keys()
        assert all(found[name] == expected[name] for name in expected if not name.endswith("config.yaml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pca": 2}, "pca was null and is 2"),
        ({"tune": True}, "tune was false and is true"),
        ({"feature": "yamnet"}, "feature was spectral_stats and is yamnet"),
    ],
)
def test_other_settings_are_an_error(make_config, changes, message):
    config = make_config(learners=["naive_bayes"])
    run(config)
    with pytest.raises(UserError, match=re.escape(f"a run with other settings ({message}): choose another output_dir")):
        run(replace(config, **changes))


def test_other_data_are_an_error(make_config, write_data_set):
    config = make_config(learners=["naive_bayes"])
    run(config)
    write_data_set(cache_key="other")
    with pytest.raises(
        UserError, match=f"since output_dir={config.output_dir}/naive_bayes was started: choose another output_dir"
    ):
        run(config)


def test_sigterm_stops_the_command_while_a_learner_is_fitted(make_config, monkeypatch):
    config = make_config(learners=QUICK)
    never, fit_best = threading.Event(), baselines.fit_best
    fitted = []

    def fit(name, *arguments, **options):
        if fitted:
            os.kill(os.getpid(), signal.SIGTERM)
            never.wait(600)  # as C code, which does not return for minutes
            raise AssertionError
        fitted.append(name)
        return fit_best(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(baselines, "fit_best", fit)
        with pytest.raises(RunAgainError, match=r"stopped by SIGTERM; the learners that are finished are kept"):
            run(config)
    assert metrics_of(config, fitted[0])
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    never.set()
    run(config)


def test_what_another_command_has_finished_is_not_fitted_again_and_other_settings_are_not_mixed(
    make_config, monkeypatch, capsys
):
    config = make_config(learners=["naive_bayes"])
    let_another_be_faster(baselines, lambda: run(config), monkeypatch=monkeypatch)
    table = run(config)
    assert f"naive_bayes: another command has finished it, in {config.output_dir}" in capsys.readouterr().err
    assert table == run(config)
    config = replace(config, output_dir=f"{config.output_dir}-2")
    let_another_be_faster(baselines, lambda: run(replace(config, seed=7)), monkeypatch=monkeypatch)
    with pytest.raises(UserError, match="is a run with other settings .seed was 7 and is"):
        run(config)
