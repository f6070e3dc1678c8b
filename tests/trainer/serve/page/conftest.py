"""A browser with a microphone, and a service whose answers a test chooses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import open_chromium
from serve_page import FAKE_MICROPHONE, show, wait_for_state
from stub_service import HOSTILE, StubService, serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium(*FAKE_MICROPHONE) as browser:
        yield browser


@pytest.fixture(scope="module")
def stub() -> Iterator[StubService]:
    with serving(StubService()) as service:
        yield service


@pytest.fixture(scope="session")
def song(write_audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a tone, in a file whose name would run if it were HTML."""
    return write_audio(tmp_path_factory.mktemp("song") / f"{HOSTILE}.wav", frequency_hz=1000.0, duration_s=12.0)


@pytest.fixture
def served(stub: StubService) -> StubService:
    """The service, which answers at once."""
    stub.reset()
    return stub


@pytest.fixture
def service(served: StubService, browser) -> StubService:
    """The service, with its page open."""
    show(browser, served.url)
    wait_for_state(browser, "empty")
    return served
