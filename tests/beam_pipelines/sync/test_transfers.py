import threading
import time
from functools import partial

import pytest

from beam_pipelines.sync.errors import FileError, StoppedError
from beam_pipelines.sync.transfers import Transfers, file_tasks, ranges_of, run_tasks


def run(tasks, *, transfers=None, num_workers=4):
    ticks: list[int] = []
    errors = run_tasks(tasks, transfers=transfers or Transfers(), num_workers=num_workers, on_tick=ticks.append)
    return errors, ticks


def test_all_tasks_run_and_their_files_are_counted():
    done: list[int] = []
    errors, ticks = run([lambda number=number: done.append(number) or number % 2 for number in range(100)])
    assert sorted(done) == list(range(100))
    assert errors == []
    assert ticks == sorted(ticks) and ticks[-1] == 50


def test_no_tasks_are_no_work():
    assert run([]) == ([], [])


def test_the_error_of_a_file_does_not_keep_the_others_from_being_copied():
    def fail() -> int:
        raise FileError("a.mp3: it is no good")

    errors, ticks = run([lambda: 1, fail, lambda: 1])
    assert ticks[-1] == 2
    assert [str(error) for error in errors] == ["a.mp3: it is no good"]


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


def test_no_more_tasks_are_taken_than_run():
    done: list[int] = []
    taken, num_reported, most = 0, 0, 0

    def tasks():
        nonlocal taken, most
        for _ in range(1000):
            taken += 1
            most = max(most, taken - num_reported)
            yield lambda: done.append(1) or 1

    def on_tick(num_done: int) -> None:
        nonlocal num_reported
        num_reported = num_done

    run_tasks(tasks(), transfers=Transfers(), num_workers=2, on_tick=on_tick)
    assert len(done) == 1000
    assert most == 2


def test_no_task_is_taken_after_an_error():
    def fail() -> int:
        raise PermissionError("no right")

    tasks = iter([fail, lambda: 1])
    with pytest.raises(PermissionError, match="no right"):
        run(tasks, num_workers=1)
    assert len(list(tasks)) == 1


def test_ctrl_c_does_not_wait_for_a_network_that_does_not_answer():
    answer = threading.Event()

    def interrupt(num_done: int) -> None:
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


def test_the_last_part_finishes_a_file_unless_a_part_has_failed():
    done: list[str] = []
    parts = [partial(done.append, "1"), partial(done.append, "2")]
    tasks = list(file_tasks("a.mp3", parts, finish=partial(done.append, "x")))
    assert [task() for task in reversed(tasks)] == [0, 1]
    assert done == ["2", "1", "x"]

    def fail() -> None:
        raise FileError("it is no good")

    good, bad = file_tasks("a.mp3", [lambda: None, fail], finish=partial(done.append, "y"))
    with pytest.raises(FileError, match=r"^a\.mp3: it is no good$"):
        bad()
    assert good() == 0
    assert done == ["2", "1", "x"]


@pytest.mark.parametrize(
    ("size_bytes", "expected"), [(0, [(0, 0)]), (3, [(0, 3)]), (4, [(0, 4)]), (9, [(0, 4), (4, 4), (8, 1)])]
)
def test_the_ranges_of_a_file_cover_it(size_bytes, expected):
    assert ranges_of(size_bytes, step_bytes=4) == expected
