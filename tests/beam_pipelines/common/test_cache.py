import os

import pytest

from beam_pipelines.common.cache import cache_dir


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "/home/me/.cache/beamtune"),
        ({"XDG_CACHE_HOME": "/var/cache"}, "/var/cache/beamtune"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "/home/me/.cache/beamtune"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/beamtune"),
        ({"XDG_CACHE_HOME": "/var/cache", "BEAMTUNE_CACHE": "/data"}, "/data"),
        ({"BEAMTUNE_CACHE": "~/mine"}, "/home/me/mine"),
        ({"BEAMTUNE_CACHE": "here"}, os.path.abspath("here")),
        ({"BEAMTUNE_CACHE": ""}, "/home/me/.cache/beamtune"),
    ],
)
def test_the_environment_sets_the_cache_folder(monkeypatch, variables, expected):
    for name in ("XDG_CACHE_HOME", "BEAMTUNE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == expected
