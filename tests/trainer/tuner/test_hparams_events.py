"""What TensorBoard's HParams plugin shows of a search, by its own backend."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups, metadata

from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.hparams_events import (
    write_experiment,
    write_session_failure,
    write_session_start,
    write_session_success,
)
from trainer.tuner.runner import TrainingRunner
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import Trial, TrialFailedError

pytestmark = pytest.mark.slow

OBJECTIVE = "validation/track/accuracy"
SPACE = parse_space(
    "search:\n"
    "  width: {choice: [4, 8]}\n"
    "  model.dropout: {float: [0.0, 0.5]}\n"
    "  augment.time_masks: {int: [0, 2]}\n"
    "  augment.time_mask_max_share: {log: [0.1, 0.2], when: {augment.time_masks: [1, 2]}}\n"
    "  optimizer.gradient_clip_norm: {choice: [1.0, null]}\n"
    "derive: {model.filters: {first: width, length: 2}}",
    where="space",
)


class Backend:
    """The plugin, on a folder."""

    def __init__(self, directory: Path) -> None:
        multiplexer = EventMultiplexer(tensor_size_guidance={metadata.PLUGIN_NAME: 0})
        multiplexer.AddRunsFromDirectory(str(directory))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(directory))
        self._context = backend_context.Context(
            base_plugin.TBContext(logdir=str(directory), multiplexer=multiplexer, data_provider=provider)
        )
        self.experiment = self._run(get_experiment.Handler, api_pb2.GetExperimentRequest())
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0,
            slice_size=100,
            allowed_statuses=[
                api_pb2.STATUS_UNKNOWN,
                api_pb2.STATUS_RUNNING,
                api_pb2.STATUS_SUCCESS,
                api_pb2.STATUS_FAILURE,
            ],
        )
        response = self._run(list_session_groups.Handler, request)
        self.sessions = {group.name: group.sessions[0] for group in response.session_groups}
        self.groups = {group.name: group for group in response.session_groups}

    def _run(self, handler: Any, request: Any) -> Any:
        return handler(context.RequestContext(), self._context, "", request).run()


def make_trial(directory: Path, trial_id: str, **values: Any) -> Trial:
    return Trial(trial_id, values, str(directory / "trials" / trial_id))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared_config: TrainConfig) -> Backend:
    """A search with a completed trial, one that failed, one that was lost, and one that is running."""
    search_dir = tmp_path_factory.mktemp("made") / "search"
    write_experiment(str(search_dir), SPACE, objective=OBJECTIVE, created_s=1_000.0)
    config = SearchConfig(**vars(replace(shared_config, epochs=2)), search_dir=str(search_dir), objective=OBJECTIVE)
    runner = TrainingRunner(config, space=SPACE)
    common = {"width": 4, "augment.time_masks": 1, "augment.time_mask_max_share": 0.15}
    done = make_trial(search_dir, "0000", **common, **{"model.dropout": 0.25, "optimizer.gradient_clip_norm": "null"})
    result = runner.run(done, report=lambda epoch, metrics, duration_s: True)
    failing = make_trial(search_dir, "0001", **common, **{"model.dropout": 2.0, "optimizer.gradient_clip_norm": "1.0"})
    with pytest.raises(TrialFailedError):
        runner.run(failing, report=lambda epoch, metrics, duration_s: True)
    for trial_id in ("0002", "0003"):
        write_session_start(make_trial(search_dir, trial_id, **{"width": 8, "augment.time_masks": 0}), SPACE)
    write_session_failure(str(search_dir / "trials" / "0002"))
    backend = Backend(search_dir)
    backend.result = result  # type: ignore[attr-defined]
    return backend


def test_the_experiment_has_the_domain_of_every_parameter(made):
    infos = {info.name: info for info in made.experiment.hparam_infos}
    assert set(infos) == {parameter.name for parameter in SPACE.parameters}
    assert made.experiment.time_created_secs == 1_000.0
    # Whole numbers are texts that sort like numbers.
    assert [value.string_value.strip() for value in infos["width"].domain_discrete.values] == ["4", "8"]
    dropout = infos["model.dropout"].domain_interval
    assert (dropout.min_value, dropout.max_value) == (0.0, 0.5)
    masks = infos["augment.time_masks"].domain_discrete.values
    assert [value.string_value.strip() for value in masks] == ["0", "1", "2"]
    assert infos["augment.time_mask_max_share"].type == api_pb2.DATA_TYPE_STRING
    clips = infos["optimizer.gradient_clip_norm"].domain_discrete.values
    assert [value.string_value for value in clips] == ["1.0", "null"]
    assert [info.name.tag for info in made.experiment.metric_infos][:2] == [
        f"trial/best/{OBJECTIVE}",
        "track/accuracy",
    ]


def test_there_is_a_session_for_each_trial_with_its_status(made):
    statuses = {name: session.status for name, session in made.sessions.items()}
    assert statuses == {
        "0000": api_pb2.STATUS_SUCCESS,
        "0001": api_pb2.STATUS_FAILURE,
        "0002": api_pb2.STATUS_FAILURE,
        # It has no end event.
        "0003": api_pb2.STATUS_UNKNOWN,
    }
    values = made.groups["0000"].hparams
    assert values["model.dropout"].number_value == 0.25
    assert values["optimizer.gradient_clip_norm"].string_value == "null"
    assert values["augment.time_mask_max_share"].string_value == "0.15"


def test_every_trial_has_a_value_for_each_parameter(made):
    names = {parameter.name for parameter in SPACE.parameters}
    for group in made.groups.values():
        assert set(group.hparams) == names
    assert made.groups["0003"].hparams["augment.time_mask_max_share"].string_value == "off"


def test_the_first_columns_are_those_of_most_values_without_conditions(tmp_path):
    lines = [f"  p{number}: {{choice: {list(range(number))}}}" for number in (2, 7, 3, 4, 5)]
    lines += ["  lr: {log: [0.1, 0.2]}", "  share: {float: [0.0, 1.0], when: {p2: [1]}}"]
    space = parse_space("\n".join(["search:", *lines]), where="space")
    write_experiment(str(tmp_path), space, objective=OBJECTIVE, created_s=1.0)
    columns = Backend(tmp_path).experiment.hparam_infos
    assert [column.name for column in columns] == ["lr", "p3", "p4", "p5", "p7", "p2", "share"]
    assert [column.differs for column in columns] == [True] * 5 + [False] * 2


def test_the_run_with_the_domains_has_a_name(tmp_path):
    write_experiment(str(tmp_path), SPACE, objective=OBJECTIVE, created_s=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["search"]


def test_a_session_has_its_final_metrics_and_its_curves(made):
    values = {(value.name.group, value.name.tag): value for value in made.sessions["0000"].metric_values}
    best = values["", f"trial/best/{OBJECTIVE}"]
    assert best.value == pytest.approx(made.result.metrics[OBJECTIVE])
    # Curves are the scalars of the run below the session.
    assert values["validation", "track/accuracy"].training_step == 2 * 4
    assert ("validation", "segment/loss") in values


def test_the_first_end_of_a_session_counts(tmp_path):
    trial = make_trial(tmp_path, "0000", width=4)
    write_experiment(str(tmp_path), SPACE, objective=OBJECTIVE, created_s=1.0)
    write_session_start(trial, SPACE)
    write_session_success(trial.directory, objective=OBJECTIVE, score=0.5)
    write_session_failure(trial.directory)
    assert Backend(tmp_path).sessions["0000"].status == api_pb2.STATUS_SUCCESS
