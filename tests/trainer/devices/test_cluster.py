"""What the processes of a run agree on; tests with several of them are in test_trainer_distributed."""

import os
import signal
import threading

import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError
from trainer.common.stop_on_sigterm import stop_on_sigterm
from trainer.devices.cluster import Workers
from trainer.devices.config import StrategyConfig


def test_one_process_agrees_with_itself() -> None:
    workers = Workers(tf.distribute.get_strategy(), StrategyConfig())
    assert workers.is_chief
    assert workers.any_of([True, False]) == [True, False]
    assert workers.from_chief(7) == 7


def test_one_process_loses_no_worker() -> None:
    workers = Workers(tf.distribute.get_strategy(), StrategyConfig())
    error = tf.errors.UnavailableError(None, None, "a bucket does not answer")
    with pytest.raises(tf.errors.UnavailableError), workers.lost_worker_errors():
        raise error


def test_an_error_of_the_cluster_says_what_to_do() -> None:
    workers = Workers(tf.distribute.get_strategy(), StrategyConfig())
    workers._are_several = True
    said = r"another worker is gone \(reset by peer\): start all workers again"
    with pytest.raises(RunAgainError, match=said), workers.lost_worker_errors():
        raise tf.errors.UnavailableError(None, None, "reset by peer\nmore")


def test_sigterm_is_a_request_while_the_body_runs_and_what_it_was_after_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as request:
        assert not request.is_made
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.is_made
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_no_signal_is_handled() -> None:
    made = []

    def body() -> None:
        with stop_on_sigterm() as request:
            made.append(request.is_made)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert made == [False]
