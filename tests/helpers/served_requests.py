"""What tests of the service send to it, and read of its answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from audio_bytes import by_libsndfile

from trainer.serve.served_model import ServedModel

RATE_HZ = 8000
RAW = {"Content-Type": "application/octet-stream"}


def noise_wav(duration_s: float, *, seed: int = 0) -> bytes:
    """Returns a WAV file of noise."""
    samples = np.random.default_rng(seed).normal(0, 0.1, (round(duration_s * RATE_HZ), 1))
    return by_libsndfile(samples.astype(np.float32), "WAV", "PCM_16", rate_hz=RATE_HZ)


def error_of(response: Any) -> tuple[int, str]:
    """Returns the status and the reason of an error, after a check of its form."""
    content = response.json()
    assert content.keys() == {"error"}
    assert content["error"].keys() == {"reason", "message"}
    assert content["error"]["message"].endswith(".")
    return response.status_code, content["error"]["reason"]


@contextmanager
def held_predictions(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Semaphore, threading.Event]]:
    """Lets predictions wait: yields what counts those that have begun, and the event that lets all go on."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    real_answer = ServedModel.answer

    def answer(self: ServedModel, path: str, **options: Any) -> dict[str, Any]:
        begun.release()
        assert go_on.wait(300)
        return real_answer(self, path, **options)

    monkeypatch.setattr(ServedModel, "answer", answer)
    try:
        yield begun, go_on
    finally:
        go_on.set()
