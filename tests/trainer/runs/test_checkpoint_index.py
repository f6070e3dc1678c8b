"""`checkpoints.json`: written, read, missing and damaged."""

from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint, write_index


def test_the_names_that_are_written_are_found(tmp_path: Path) -> None:
    assert find_checkpoint(str(tmp_path), LAST) is None
    write_index(str(tmp_path), {LAST: "ckpt-7"})
    assert find_checkpoint(str(tmp_path), LAST) == f"{tmp_path}/ckpt-7"
    assert find_checkpoint(str(tmp_path), BEST) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"last": 7}', b'{"last": "ckpt', b"\xff", b"[" * 100_000],
    ids=["empty", "list", "number", "cut", "bytes", "deep"],
)
def test_a_damaged_index_is_an_error_of_the_user(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoints.json").write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoints\.json is damaged: restore it from a copy"):
        find_checkpoint(str(tmp_path), LAST)
