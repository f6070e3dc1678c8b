import contextlib
import io
import json
import os
import subprocess
import sys

import pytest
from python_script import script_command

from beam_pipelines.common.output_streams import flush_with_error, open_text_stream, reader_is_gone, shown_names
from beam_pipelines.common.python_process import python_command
from beam_pipelines.common.terminal import json_text, make_console, print_line

# "ü" in Latin-1, as Python decodes the name of such a file.
NOT_UTF8 = os.fsdecode(b"caf\xfc.wav")


@pytest.fixture
def pipe():
    """The ends of a pipe, to read from and to write to."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(descriptor)


def test_what_cannot_be_encoded_is_replaced(pipe):
    reader, writer = pipe
    like = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = open_text_stream(writer, like=like)
    stream.write(f"0.5 – {NOT_UTF8}\n")
    print_line(make_console(stream), "Müller")
    assert flush_with_error(stream) is None
    assert os.read(reader, 100) == b"0.5 ? caf?.wav\nM?ller\n"


def test_lone_surrogates_are_replaced_in_utf_8(pipe):
    reader, writer = pipe
    stream = open_text_stream(writer, like=None)
    stream.write(f"ü {NOT_UTF8}\n")
    stream.flush()
    assert os.read(reader, 100).decode() == "ü caf?.wav\n"


def test_output_is_discarded_once_the_reader_is_gone(pipe):
    reader, writer = pipe
    stream = open_text_stream(writer, like=None, line_buffering=True)
    stream.write("one\n")
    assert not reader_is_gone(stream)
    assert os.read(reader, 100) == b"one\n"
    os.close(reader)
    for _ in range(100):
        stream.write("x" * 10_000 + "\n")
    assert reader_is_gone(stream)
    assert flush_with_error(stream) is None


def test_a_full_disk_is_an_error_at_the_end_and_not_before():
    with open("/dev/full", "wb", buffering=0) as full:
        stream = open_text_stream(full.fileno(), like=None, line_buffering=True)
        stream.write("one\n")
        stream.write("two\n")
        assert flush_with_error(stream) == "No space left on device"
        assert not reader_is_gone(stream)


def test_a_descriptor_that_does_not_block_gets_all(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    script = "import sys\nsys.stdout.write(str(len(sys.stdin.buffer.read())))"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=reader, stdout=subprocess.PIPE)
    stream = open_text_stream(writer, like=None)
    stream.write("x" * 1_000_000)
    stream.flush()
    os.close(writer)
    assert child.communicate(timeout=600)[0] == b"1000000"


def test_json_escapes_what_its_stream_cannot_encode():
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert json_text("ü", stream=latin) == '"ü"'
    assert json_text("–", stream=latin) == '"\\u2013"'
    text = json_text(NOT_UTF8, stream=io.StringIO())
    assert text == '"caf\\udcfc.wav"'
    assert json.loads(text) == NOT_UTF8


CLOSED = """
import os, sys
from beam_pipelines.common.output_streams import protect_standard_streams
protect_standard_streams()
print("out")
print("error", file=sys.stderr)
with open(sys.argv[1], "w") as file:
    os.write(1, b"from C")
    os.write(2, b"from C")
    file.write(f"{file.fileno() > 2} {os.get_inheritable(1)}")
"""


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-", "<&-"])
def test_closed_descriptors_are_opened_before_a_file_takes_their_numbers(closed, tmp_path):
    command = script_command(CLOSED)
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command, str(tmp_path / "file")], timeout=600)
    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "True True"


IN_TURN = """
import sys
from beam_pipelines.common.output_streams import protect_standard_streams
protect_standard_streams()
for number in range(3):
    print(f"out {number}")
    print(f"error {number}", file=sys.stderr)
"""


def test_lines_of_both_streams_have_their_order_in_one_file():
    done = subprocess.run(script_command(IN_TURN), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    assert done.stdout.decode().split("\n") == [f"{name} {n}" for n in range(3) for name in ("out", "error")] + [""]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_the_command_runs_with_closed_streams(closed):
    command = python_command("configs.cli:run", "train", "--help")
    done = subprocess.run(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}])
def test_the_command_prints_in_every_encoding(environment):
    command = python_command("configs.cli:run", "train", "--help")
    done = subprocess.run(command, capture_output=True, timeout=600, env={**os.environ, **environment})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"beamtune train [key=value ?] [options]" in done.stdout


def test_output_that_is_lost_makes_the_command_fail():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            python_command("configs.cli:run", "--version"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=600
        )
    assert done.returncode == 1
    assert done.stderr == (
        "beamtune: standard output cannot be written to, so that output is lost: No space left on device\n"
    )


def test_names_are_shown_on_one_line_and_the_rest_is_counted():
    hostile = [os.fsdecode(b"\xe4.mp3"), "\x1b[31mred", "a\nb\t", "ä"]
    assert shown_names(hostile) == "\\udce4.mp3, \\x1b[31mred, a\\nb\\t, ä"
    assert shown_names([*"abcde"]) == "a, b, c, d, e"
    assert shown_names([*"abcdefg"]) == "a, b, c, d, e, and 2 more"
    assert shown_names([]) == ""
