"""A search as a table and as lines."""

import io
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from trainer.tuner import status
from trainer.tuner.live import LiveSearch
from trainer.tuner.service.search_state import SearchState, ranked
from trainer.tuner.status import duration_text, headline, show_best, show_status, time_left_s, trial_cells
from trainer.tuner.trial import COMPLETED, FAILED, QUEUED, RUNNING, Trial

OBJECTIVE = "validation/track/accuracy"


def trial(trial_id: str, **changes: Any) -> Trial:
    usual = {"status": RUNNING, "worker": "tuner-0", "started_s": 100.0}
    values = {"width": 8, "rate": 0.30000000000000004}
    return Trial(trial_id, values, f"s/trials/{trial_id}", **{**usual, **changes})


def completed(trial_id: str, score: float, **changes: Any) -> Trial:
    return trial(trial_id, status=COMPLETED, score=score, best_epoch=2, ended_s=170.0, **changes)


def search(*trials: Trial, **changes: Any) -> SearchState:
    fields: dict[str, Any] = {
        "search_dir": "s",
        "algorithm": "random",
        "objective": OBJECTIVE,
        "direction": "max",
        "trials": trials,
        "best": None,
        "is_finished": False,
        "end_reason": None,
        "elapsed_s": 120.0,
        "num_epochs": 9,
        "max_trials": 8,
        "max_epochs": None,
        "max_hours": None,
    }
    return SearchState(**{**fields, **changes})


def test_the_cells_of_a_trial_describe_its_status():
    losses = (1.5, 1.0, math.nan)
    history = {
        epoch: {OBJECTIVE: 0.25 * epoch, "validation/segment/loss": loss} for epoch, loss in enumerate(losses, start=1)
    }
    running = trial("0001", history=history)
    view = search(running)
    settings = "width=8 rate=0.3"
    cells = trial_cells(running, view, now_s=161.0)
    assert cells == ["0001", "running", "tuner-0", "3", "0.5000", "–", "00:01:01", settings]
    assert trial_cells(trial("0001"), view, now_s=161.0)[3:5] == ["–", "–"]
    pruned = completed("0002", 0.625, stopped_by="pruning", note="a note")
    assert trial_cells(pruned, view, now_s=999.0) == [
        *("0002", "completed (pruning)", "tuner-0", "–", "0.6250", "2", "00:01:10", f"a note; {settings}")
    ]
    failed = trial("0003", status=FAILED, reason="out of memory", ended_s=101.0, worker=None)
    assert trial_cells(failed, view, now_s=999.0) == [
        *("0003", "failed", "–", "–", "–", "–", "00:00:01", f"out of memory; {settings}")
    ]


def test_the_headline_describes_the_progress():
    best = completed("0000", 0.75)
    view = search(best, trial("0001", status=FAILED, reason="x"), trial("0002"), best=best)
    assert headline(view) == (
        "2 of 8 trials ended, 1 of these failed, 1 running, 9 epochs, 00:02:00, about 00:06:00 left; "
        "best 0.7500 (trial 0000)"
    )
    finished = replace(view, is_finished=True, end_reason="all is done", max_trials=None)
    assert headline(finished) == (
        "2 trials ended, 1 of these failed, 9 epochs, 00:02:00; best 0.7500 (trial 0000); ended: all is done"
    )


@pytest.mark.parametrize(
    ("changes", "left_s"),
    [
        ({}, 120.0 * 7),
        ({"max_epochs": 18}, 120.0),
        ({"max_hours": 0.05}, 60.0),
        ({"max_hours": 0.01}, 0.0),
        ({"max_trials": None}, None),
        ({"is_finished": True}, None),
    ],
)
def test_the_time_left_is_that_of_the_budget_that_ends_first(changes, left_s):
    view = search(completed("0000", 0.5), **changes)
    assert time_left_s(view) == (None if left_s is None else pytest.approx(left_s))


def test_the_time_left_is_unknown_before_a_trial_has_ended():
    assert time_left_s(search(trial("0000"))) is None


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0, "00:00:00"), (59.6, "00:01:00"), (90_061, "25:01:01"), (-3, "00:00:00")]
)
def test_durations(duration_s, text):
    assert duration_text(duration_s) == text


def test_trials_are_ranked_by_their_score_in_its_direction():
    trials = [completed("0", 0.5), completed("1", 0.75), completed("2", 0.75), trial("3"), completed("4", 0.25)]
    assert [one.trial_id for one in ranked(trials, direction="max")] == ["1", "2", "0", "4"]
    assert [one.trial_id for one in ranked(trials, direction="min")] == ["4", "0", "1", "2"]


def test_one_trial_and_one_epoch_are_singular():
    view = search(completed("0000", 0.5), max_trials=None, num_epochs=1)
    assert headline(view).startswith("1 trial ended, 1 epoch, ")


def test_at_most_num_trials_of_the_best_trials_are_shown():
    out = io.StringIO()
    best_trial = completed("0001", 0.75)
    show_best(search(completed("0000", 0.5), best_trial, best=best_trial), num_trials=1, stream=out)
    title, columns, row, line, best, *commands = out.getvalue().splitlines()
    assert title.strip() == "the best of 2 trials by validation/track/accuracy (max)"
    assert row.split()[:2] == ["0001", "completed"]
    assert columns.split()[0] == "trial"
    assert line.startswith("2 of 8 trials ended")
    assert best == "the best settings: s/best.yaml"
    assert commands == [
        "next: beamtune train --config s/best.yaml run_dir=runs/s",
        "  or: beamtune tune search_dir=s refit=true",
    ]


def test_status_is_a_table_json_or_csv(monkeypatch):
    view = search(completed("0000", 0.5), trial("0001", history={1: {OBJECTIVE: math.nan}}))
    monkeypatch.setattr(status, "read_search", lambda search_dir: view)
    outputs = {}
    for output_format in ("table", "json", "csv"):
        out = io.StringIO()
        show_status("s", output_format=output_format, stream=out)
        outputs[output_format] = out.getvalue()
    assert outputs["table"].splitlines()[0].startswith("1 of 8 trials ended, 1 running")
    assert json.loads(outputs["json"])["trials"][1]["history"] == {"1": {OBJECTIVE: None}}
    assert outputs["csv"].splitlines()[1].startswith("0000,completed,tuner-0,–,0.5000,2,00:01:10,")


def test_a_piped_search_prints_a_line_for_each_event():
    out = io.StringIO()
    with LiveSearch(stream=out, plain_interval_s=1000) as live:
        live.log("begin")
        for trials in (
            [trial("0000", status=QUEUED)],
            [trial("0000")],
            [trial("0000")],
            [completed("0000", 0.5), trial("0001")],
            [completed("0000", 0.5), trial("0001", status=FAILED, reason="no memory", ended_s=110.0)],
        ):
            live.show(search(*trials))
    assert out.getvalue().splitlines() == [
        "begin",
        "trial 0000: running on tuner-0: width=8 rate=0.3",
        f"trial 0000: completed after 00:01:10: {OBJECTIVE} 0.5000 in epoch 2",
        "trial 0001: running on tuner-0: width=8 rate=0.3",
        "trial 0001: failed after 00:00:10: no memory; width=8 rate=0.3",
    ]


def test_a_piped_search_without_events_prints_its_progress():
    out = io.StringIO()
    with LiveSearch(stream=out, plain_interval_s=0) as live:
        live.show(search())
    assert out.getvalue() == "0 of 8 trials ended, 9 epochs, 00:02:00\n"


def test_a_terminal_shows_one_table_that_is_updated(monkeypatch):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=150, highlight=False)
    monkeypatch.setattr("trainer.tuner.live.make_console", lambda stream: console)
    with LiveSearch(stream=out) as live:
        live.show(search(*(completed(f"{number:04d}", 0.5) for number in range(30)), trial("0030")))
    shown = out.getvalue()
    assert "0030" in shown
    assert "0029" in shown
    assert "0019" not in shown


def test_the_time_of_a_trial_is_without_pauses_of_the_search():
    history = {1: {OBJECTIVE: 0.25}}
    for one in (trial("0001", history=history, duration_s=61.0), completed("0002", 0.5, duration_s=61.0)):
        assert trial_cells(one, search(one), now_s=90_000.0)[6] == "00:01:01"
