"""SIGTERM as a request to end, of a part of some work and of the whole."""

import os
import signal
import threading

from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_makes_the_request_and_is_heeded_no_longer_than_the_body_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as request:
        assert not request.is_made
        terminate()
        assert request.is_made
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_asked_of_a_part_is_asked_of_the_whole() -> None:
    with stop_on_sigterm() as whole:
        with stop_on_sigterm() as part, stop_on_sigterm() as part_of_part:
            terminate()
            assert part_of_part.is_made and part.is_made
        assert whole.is_made
        with stop_on_sigterm() as next_part:
            assert not next_part.is_made


def test_what_is_asked_between_parts_is_asked_of_the_whole_alone() -> None:
    with stop_on_sigterm() as whole:
        with stop_on_sigterm() as part:
            pass
        terminate()
        assert whole.is_made and not part.is_made


def test_a_thread_cannot_handle_signals_and_is_never_asked() -> None:
    requests: list[StopRequest] = []

    def work() -> None:
        with stop_on_sigterm() as request:
            requests.append(request)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [request.is_made for request in requests] == [False]
