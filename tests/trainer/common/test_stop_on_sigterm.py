"""SIGTERM and Ctrl-C as a request to stop, in nested bodies and in threads."""

import os
import signal
import subprocess
import threading
import time

import pytest
from python_script import script_command

from beam_pipelines.common.errors import InterruptedRunError, RunAgainError
from beam_pipelines.common.signals import INTERRUPTED
from trainer.common.stop_on_sigterm import StopRequest, run_stoppable, stop_on_sigterm


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_sets_the_request_while_the_body_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as request:
        assert not request.is_set
        terminate()
        assert request.is_set
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_in_an_inner_body_sets_the_outer_requests() -> None:
    with stop_on_sigterm() as outer:
        with stop_on_sigterm() as inner, stop_on_sigterm() as innermost:
            terminate()
            assert innermost.is_set and inner.is_set
        assert outer.is_set
        # What begins after the signal is to stop at once.
        with stop_on_sigterm() as next_inner:
            assert next_inner.is_set and str(next_inner.error("")) == "stopped by SIGTERM"


def test_a_signal_after_an_inner_body_sets_the_outer_request_only() -> None:
    with stop_on_sigterm() as outer:
        with stop_on_sigterm() as inner:
            pass
        terminate()
        assert outer.is_set and not inner.is_set


def test_in_another_thread_the_request_is_never_set() -> None:
    requests: list[StopRequest] = []

    def work() -> None:
        with stop_on_sigterm() as request:
            requests.append(request)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [request.is_set for request in requests] == [False]


def test_ctrl_c_sets_the_request_and_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_on_sigterm() as outer, stop_on_sigterm() as request:
            os.kill(os.getpid(), signal.SIGINT)
            assert outer.is_set and request.is_set
            error = request.error("; the state is saved")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(error, InterruptedRunError) and str(error) == "stopped by Ctrl-C; the state is saved"
    assert capfd.readouterr().err == "Ctrl-C: stopping after the current step; Ctrl-C again ends at once\n"


def test_a_line_says_what_is_finished_first_while_the_main_thread_is_in_c_code() -> None:
    script = """
import ctypes
from trainer.common.stop_on_sigterm import stop_on_sigterm
mutex, lock = ctypes.create_string_buffer(256), ctypes.CDLL(None).pthread_mutex_lock
with stop_on_sigterm("the call of C code") as outer, stop_on_sigterm() as request:
    request.finishing = "step 7"
    print("ready", flush=True)
    lock(mutex)
    lock(mutex)  # waits for ever, and signals do not interrupt it
"""
    with subprocess.Popen(script_command(script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stderr.readline() == "SIGTERM: stopping after step 7\n"
        process.kill()


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    script = """
import signal, time
from trainer.common.stop_on_sigterm import stop_on_sigterm
signal.signal(signal.SIGINT, signal.default_int_handler)
with stop_on_sigterm() as request:
    print("ready", flush=True)
    while not request.is_set:
        time.sleep(0.01)
    print("saving", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(script_command(script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("ready", "saving"):
            assert process.stdout.readline().strip() == line
            process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT


@pytest.mark.parametrize(
    "body",
    [
        """
    wait_for(outer)
    with stop_on_sigterm():
        save()
""",
        """
    with stop_on_sigterm() as inner:
        wait_for(inner)
    save()
""",
    ],
    ids=["inner", "outer"],
)
def test_a_second_ctrl_c_that_comes_in_another_body_ends_the_process_at_once(body: str) -> None:
    script = f"""
import signal, time
from trainer.common.stop_on_sigterm import stop_on_sigterm
def wait_for(request):
    print("ready", flush=True)
    while not request.is_set:
        time.sleep(0.01)
def save():
    print("saving", flush=True)
    time.sleep(600)
signal.signal(signal.SIGINT, signal.default_int_handler)
with stop_on_sigterm() as outer:{body}"""
    with subprocess.Popen(script_command(script), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in ("ready", "saving"):
                assert process.stdout.readline().strip() == line
                process.send_signal(signal.SIGINT)
            assert process.wait(60) == INTERRUPTED
        finally:
            process.kill()


def test_a_process_that_ignores_ctrl_c_still_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_sigterm() as request:
            os.kill(os.getpid(), signal.SIGINT)
            assert not request.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def test_work_that_does_not_return_is_abandoned_after_a_signal() -> None:
    never = threading.Event()
    with stop_on_sigterm() as request, pytest.raises(RunAgainError, match=r"^stopped by SIGTERM; it is kept$"):
        threading.Timer(0.2, terminate).start()
        run_stoppable(lambda: never.wait(600), request, message="; it is kept")
    never.set()


def test_work_returns_its_result_and_raises_its_error() -> None:
    request = StopRequest()
    assert run_stoppable(lambda: time.sleep(0.01) or 7, request, message="") == 7
    with pytest.raises(ZeroDivisionError):
        run_stoppable(lambda: 1 // 0, request, message="")
