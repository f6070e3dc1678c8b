"""The settings of the service."""

import re
from typing import Any

import pytest

from beam_pipelines.common.errors import UserError
from trainer.serve.config import ServeConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": " "}, "host= : expected an address"),
        ({"host": "127.0.0.1\0"}, "host=127.0.0.1\0: expected an address"),
        ({"host": "é" * 64}, "é: expected an address"),
        *(
            ({"allowed_hosts": [name]}, f"allowed_hosts={name}: expected names of hosts, such as")
            for name in ("", "music.example:80", "https://music.example", "user@music.example")
        ),
        ({"port": 65_536}, "port=65536: expected a whole number from 0 to 65535, or null"),
        ({"token_file": ""}, "token_file=: expected a path"),
        ({"token_file": "gs://b/token"}, "token_file=gs://b/token: expected a local file"),
        ({"num_threads": 0}, "num_threads=0: expected a whole number from 1 to 1024, or null"),
        ({"max_upload_bytes": 0}, "max_upload_bytes=0: expected a whole number from 1 to"),
        ({"max_waiting": -1}, "max_waiting=-1: expected a whole number from 0 to"),
        ({"max_connections": 0}, "max_connections=0: expected a whole number from 1 to"),
        ({"max_duration_s": 0.0}, "max_duration_s=0.0: expected more than 0 and at most 36000 seconds"),
        ({"upload_timeout_s": float("nan")}, "upload_timeout_s=nan: expected more than 0"),
        ({"shutdown_timeout_s": 1e9}, "shutdown_timeout_s=1000000000.0: expected more than 0"),
        ({"allowed_buckets": ["gs://b"]}, "allowed_buckets=gs://b: expected names of buckets"),
        ({"allowed_buckets": [""]}, "allowed_buckets=: expected names of buckets"),
        ({"min_confidence": 2.0}, "min_confidence=2.0: expected a probability from 0 to 1"),
        ({"batch_size": 0}, "batch_size=0: expected a whole number from 1 to 65536"),
    ],
    ids=str,
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        ServeConfig(**settings)
