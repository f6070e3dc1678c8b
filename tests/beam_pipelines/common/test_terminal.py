import io
import sys
import threading

import pytest

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line, stderr, stdout, without_output

HOSTILE = "a\x1b[31mb\x07\x9b2J\u2028\u202egnp"
SHOWN = r"a\x1b[31mb\x07\x9b2J\u2028\u202egnp"


@pytest.mark.parametrize(("count", "text"), [(0, "0 tracks"), (1, "1 track"), (2, "2 tracks"), (1200, "1200 tracks")])
def test_a_noun_is_singular_after_one_only(count, text):
    assert counted(count, "track") == text


def test_output_goes_to_the_streams_of_python_and_nowhere_inside_the_body(capsys):
    with without_output():
        print("discarded", file=stdout())
        print("discarded", file=stderr())
        with ProgressReporter("preparing", total=1, unit="tracks") as progress:
            progress.log("discarded")
    print("result", file=stdout())
    print("note", file=stderr())
    assert capsys.readouterr() == ("result\n", "note\n")


def test_another_thread_prints_while_the_body_runs():
    streams = []
    with without_output():
        thread = threading.Thread(target=lambda: streams.append(stdout()))
        thread.start()
        thread.join()
    assert streams == [sys.stdout]


def test_without_streams_output_is_discarded(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with ProgressReporter("preparing", total=1, unit="tracks") as progress:
        progress.log("discarded")
    print("discarded", file=stdout())


def test_no_text_sends_commands_to_a_terminal():
    stream = io.StringIO()
    console = make_console(stream)
    table = TextTable(HOSTILE, HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    print_line(console, HOSTILE)
    ProgressReporter("preparing", total=1, unit="tracks", stream=stream).log(f"{HOSTILE}\n")
    lines = stream.getvalue().splitlines()
    assert [line.strip() for line in lines] == [SHOWN, SHOWN, SHOWN, SHOWN, rf"{SHOWN}\n"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream):
    """Returns what a table and a bar of progress write to a stream."""
    table = TextTable("scores", "metric", "track")
    table.add_row("accuracy", "0.5")
    make_console(stream).print(table)
    with ProgressReporter("preparing", total=1, unit="tracks", stream=stream) as progress:
        progress.update(completed=1)
    return stream.getvalue()


def test_a_terminal_has_frames_and_bars(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert {"╭", "━"} <= set(shown(Terminal()))


@pytest.mark.parametrize(("stream", "term"), [(Terminal, "dumb"), (io.StringIO, "xterm-256color")])
def test_a_dumb_terminal_and_a_pipe_have_plain_lines_even_if_colours_are_asked_for(monkeypatch, stream, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = [line.rstrip() for line in shown(stream()).splitlines()]
    assert lines == ["scores", " metric    track", " accuracy    0.5", "preparing: 1/1 tracks, 0 s"]


def test_a_line_that_is_printed_stays_one_line():
    stream = io.StringIO()
    print_line(make_console(stream), "damaged: a\nto continue b: rm\tc")
    assert stream.getvalue() == "damaged: a\\nto continue b: rm\\tc\n"
