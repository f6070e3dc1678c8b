"""Settings of the command."""

from typing import Any

import pytest

from beam_pipelines.common.errors import UserError
from trainer.tag.config import TagConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_confidence": 1.5}, "min_confidence=1.5: expected a probability from 0 to 1"),
        ({"max_genres": 0}, "max_genres=0: expected a whole number from 1 to 20"),
        ({"batch_size": 0}, "batch_size=0: expected a whole number from 1 to 65536"),
        ({"undo": "gs://b/undo.jsonl"}, "undo=gs://b/undo.jsonl: expected a local file"),
        ({"undo_file": "gs://b/undo.jsonl"}, "undo_file=gs://b/undo.jsonl: expected a local file"),
        ({"undo": " "}, "undo= : expected a path"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        TagConfig(**settings)
    assert str(caught.value) == message
