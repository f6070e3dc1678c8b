"""SIGTERM as a request to stop, in nested bodies and in threads."""

import os
import signal
import threading

from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm


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
        with stop_on_sigterm() as next_inner:
            assert not next_inner.is_set


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
