"""SIGTERM ends a process whether its main thread is in Python, in C code or in the work of a child process."""

import os
import signal
import subprocess
import threading

import pytest
from python_script import script_command

import beam_pipelines.common.signals
from beam_pipelines.common.signals import TerminatedError, ending_on_sigterm, watching_signals


def run_and_terminate(script: str) -> tuple[int, str]:
    """Sends SIGTERM to a script that has printed a line; returns its exit code and its standard error."""
    with subprocess.Popen(script_command(script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=600), process.communicate()[1]


def test_sigterm_is_an_exception_in_the_body() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TerminatedError), ending_on_sigterm("beamtune x"):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the body goes on")
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1


# Neither lets an exception out: C code that a signal does not interrupt, and cleaning up that takes for ever.
STUCK = {"C code": "lock(mutex)", "cleaning up": "threading.Event().wait(600)"}


@pytest.mark.parametrize("stuck", STUCK)
def test_a_body_that_does_not_end_is_ended(stuck: str) -> None:
    script = f"""
import ctypes, threading
import beam_pipelines.common.signals as signals
signals.END_S = 0.2
mutex, lock = ctypes.create_string_buffer(256), ctypes.CDLL(None).pthread_mutex_lock
lock(mutex)
with signals.ending_on_sigterm("beamtune x"):
    try:
        print("ready", flush=True)
        {STUCK[stuck]}
    finally:
        {STUCK[stuck]}
"""
    assert run_and_terminate(script) == (75, "beamtune x: stopped by SIGTERM\n")


def test_a_body_that_hides_what_c_libraries_write_is_ended_with_a_line() -> None:
    script = """
import threading
import beam_pipelines.common.signals as signals
from beam_pipelines.audio.quiet_decoders import silenced_decoders
signals.END_S = 0.2
with silenced_decoders(), signals.ending_on_sigterm("beamtune x"):
    try:
        print("ready", flush=True)
        threading.Event().wait(600)
    finally:
        threading.Event().wait(600)
"""
    assert run_and_terminate(script) == (75, "beamtune x: stopped by SIGTERM\n")


def test_the_process_of_a_body_that_has_ended_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(beam_pipelines.common.signals, "END_S", 600.0)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    with pytest.raises(TerminatedError), ending_on_sigterm("beamtune x"):
        os.kill(os.getpid(), signal.SIGTERM)
    for thread in threading.enumerate():
        if thread.name == "end":
            thread.join()
    assert not ended.is_set()


def test_the_innermost_watcher_is_called() -> None:
    calls: list[tuple[str, int]] = []
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with watching_signals(lambda number: calls.append(("outer", number))):
            with watching_signals(lambda number: calls.append(("inner", number))):
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert calls == [("inner", signal.SIGTERM), ("outer", signal.SIGTERM)]


def test_the_signals_of_a_forked_process_are_its_own() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with watching_signals(calls.append):
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), signal.SIGTERM)
                signal.pause()
        # The watcher has ended although the child still has its pipe.
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert calls == []
