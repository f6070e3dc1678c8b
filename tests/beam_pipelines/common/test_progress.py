import io

from beam_pipelines.common.progress import ProgressReporter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_piped_output_is_plain_lines_and_not_one_for_every_update():
    stream = io.StringIO()
    with ProgressReporter("preparing", total=100, unit="tracks", stream=stream, plain_interval_s=3600) as progress:
        for done in range(1, 101):
            progress.update(completed=done, details=f"{done} s of audio")
        progress.log("a line that stays")
    assert stream.getvalue() == "a line that stays\npreparing: 100/100 tracks, 0 s, 100 s of audio\n"


def test_piped_output_says_how_much_time_is_left():
    stream = io.StringIO()
    with ProgressReporter("preparing", total=4, unit="tracks", stream=stream, plain_interval_s=0) as progress:
        progress.update(completed=1)
    assert stream.getvalue().startswith("preparing: 1/4 tracks, 0 s, 0 s left\n")


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
