import threading
import time

import pytest

from beam_pipelines.sync.transfers import FileError, Outcome, StoppedError, Transfers, run_tasks


def run(tasks, *, transfers=None, num_workers=4):
    ticks: list[int] = []
    outcome = run_tasks(
        tasks,
        transfers=transfers or Transfers(),
        num_workers=num_workers,
        on_tick=lambda outcome: ticks.append(outcome.num_files),
    )
    return outcome, ticks


def test_all_tasks_run_and_their_files_are_counted():
    done: list[int] = []
    outcome, ticks = run([lambda number=number: done.append(number) or number % 2 for number in range(100)])
    assert sorted(done) == list(range(100))
    assert outcome == Outcome(num_files=50, errors=[])
    assert ticks == sorted(ticks) and ticks[-1] == 50


def test_no_tasks_are_no_work():
    assert run([]) == (Outcome(), [])


def test_the_error_of_a_file_does_not_keep_the_others_from_being_copied():
    def fail() -> int:
        raise FileError("a.mp3: it is no good")

    outcome, _ = run([lambda: 1, fail, lambda: 1])
    assert outcome.num_files == 2
    assert [str(error) for error in outcome.errors] == ["a.mp3: it is no good"]


def test_another_error_ends_all_and_drops_the_tasks_that_have_not_begun():
    transfers = Transfers()
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        if number == 3:
            raise PermissionError("no right")
        while True:  # until it is stopped
            transfers.add(1)
            time.sleep(0.01)

    with pytest.raises(PermissionError, match="no right"):
        run((lambda number=number: work(number) for number in range(10_000)), transfers=transfers)
    assert len(started) < 20
    assert transfers.num_bytes > 0
    with pytest.raises(StoppedError):
        transfers.add(1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sync")]


def test_few_tasks_are_taken_at_a_time():
    taken: list[int] = []
    most = 0

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield lambda: done.append(1) or 1

    done: list[int] = []

    def on_tick(outcome: Outcome) -> None:
        nonlocal most
        most = max(most, len(taken) - outcome.num_files)

    run_tasks(tasks(), transfers=Transfers(), num_workers=2, on_tick=on_tick)
    assert len(done) == 1000
    assert most <= 4


def test_ctrl_c_does_not_wait_for_a_network_that_does_not_answer():
    answer = threading.Event()

    def interrupt(outcome: Outcome) -> None:
        raise KeyboardInterrupt

    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_tasks(
            [lambda: answer.wait(60.0) or 0, lambda: 1],
            transfers=Transfers(),
            num_workers=2,
            on_tick=interrupt,
        )
    assert time.monotonic() - started_s < 30.0
    answer.set()
