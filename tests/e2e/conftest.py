"""A headless browser for tests of pages."""

import pytest
from chromium import open_chromium


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that logs its console and its network traffic."""
    with open_chromium() as browser:
        yield browser
