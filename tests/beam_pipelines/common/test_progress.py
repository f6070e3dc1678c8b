import io
import re
import threading
import time

import pytest

from beam_pipelines.common import progress as progress_module
from beam_pipelines.common.progress import ProgressReporter, RateLimit, polling


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def now_s(monkeypatch):
    """The time that the reporter sees, in a list of one value."""
    clock = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    return clock


def test_piped_output_is_plain_lines_and_not_one_for_every_update(now_s):
    stream = io.StringIO()
    with ProgressReporter("preparing", total=100, unit="tracks", stream=stream, plain_interval_s=3600) as progress:
        for done in range(1, 101):
            progress.update(completed=done, details=f"{done} s of audio")
            now_s[0] += 0.07
        progress.log("a line that stays")
    assert stream.getvalue() == "a line that stays\npreparing: 100/100 tracks, 7 s, 100 s of audio\n"


def test_piped_output_has_the_time_left(now_s):
    stream = io.StringIO()
    with ProgressReporter("preparing", total=4, unit="tracks", stream=stream) as progress:
        now_s[0] += 9.9
        progress.update(completed=1)
        now_s[0] += 0.1
        progress.update(completed=1)
    assert stream.getvalue().startswith("preparing: 1/4 tracks, 10 s, 30 s left\n")


def test_a_failure_prints_no_last_line():
    stream = io.StringIO()
    try:
        with ProgressReporter("preparing", total=4, unit="tracks", stream=stream):
            raise ValueError("stop")
    except ValueError:
        pass
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    with ProgressReporter("preparing", total=4, unit="tracks", stream=stream) as progress:
        progress.update(completed=3, details="2 rejects")
        progress.log("genre [bold]x[/bold]")
    text = stream.getvalue()
    assert "\x1b[" in text
    assert "━" in text
    assert "3/4" in text
    assert "2 rejects" in text
    assert "genre [bold]x[/bold]" in text


@pytest.mark.parametrize("columns", ["80", "60"])
def test_a_narrow_terminal_cuts_the_details_and_no_number(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    stream = Terminal()
    with ProgressReporter("preparing", total=1056, unit="tracks", stream=stream) as progress:
        progress.update(completed=1056, details="1 reject, 111 s of audio per second and more")
    last_line = (
        re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).rstrip("\n").splitlines()[-1].rpartition("\r")[2]
    )
    assert "1056/1056 tracks 0:00:00 left 0:00:00 1 reject" in last_line
    assert last_line.rstrip().endswith("…")
    assert len(last_line) <= int(columns)


def test_a_bar_interprets_no_markup(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    with ProgressReporter("[/a]", total=4, unit="[x]", stream=stream) as progress:
        progress.update(completed=3, details="trial [/0001]")
    assert all(text in stream.getvalue() for text in ("[/a]", "[x]", "trial [/0001]"))


def test_results_are_printed_above_the_bar_in_whole_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "40")
    stream, results = Terminal(), Terminal()
    with ProgressReporter("predicting", total=4, unit="files", stream=stream) as progress:
        progress.print_result("[/a] " + "long " * 20, stream=results)
        assert "long" not in stream.getvalue()
        progress.print_result("end\nnext", stream=results)
    assert "[/a] " + "long " * 20 + "end\n" in stream.getvalue()
    assert "next" not in stream.getvalue()
    assert results.getvalue() == ""


@pytest.mark.parametrize("bar", [Terminal, io.StringIO])
def test_piped_results_are_written_at_once(bar):
    results = io.StringIO()
    with ProgressReporter("predicting", total=4, unit="files", stream=bar()) as progress:
        progress.print_result("a", stream=results)
        assert results.getvalue() == "a"


def test_polling_shows_while_the_work_runs_and_once_more_at_its_end():
    shown: list[str] = []
    has_polled = threading.Event()

    def show() -> None:
        shown.append(threading.current_thread().name)
        if len(shown) == 3:
            has_polled.set()

    with polling(show, interval_s=0.001):
        assert has_polled.wait(timeout=600)
    assert len(shown) >= 4
    assert shown[-1] == threading.current_thread().name
    assert threading.current_thread().name not in shown[:-1]


def test_polling_continues_after_a_file_could_not_be_read_and_ends_with_a_failure():
    calls = []
    has_polled = threading.Event()

    def show() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise FileNotFoundError
        has_polled.set()

    with pytest.raises(ValueError), polling(show, interval_s=0.001):
        assert has_polled.wait(timeout=600)
        raise ValueError
    num_calls = len(calls)
    time.sleep(0.05)
    assert len(calls) == num_calls


def test_what_is_limited_is_due_at_once_and_again_after_the_interval(now_s):
    limit = RateLimit(10.0)
    due = []
    for _ in range(25):
        due.append(limit.is_due())
        now_s[0] += 1.0
    assert [second for second, is_due in enumerate(due) if is_due] == [0, 10, 20]


def test_a_call_that_does_not_return_does_not_delay_the_end_for_long(monkeypatch):
    monkeypatch.setattr(progress_module, "_LAST_CALL_S", 0.01)
    begun, end = threading.Event(), threading.Event()
    calls = []

    def show():
        calls.append("show")
        begun.set()
        end.wait()

    try:
        with polling(show, interval_s=0.001):
            begun.wait()
        assert calls == ["show"]
    finally:
        end.set()
