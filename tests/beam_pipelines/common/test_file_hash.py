"""The hash of a file, against a published value."""

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.file_hash import file_sha256


def test_it_is_that_of_fips_180(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_sha256(str(path), key="file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"^weights_path: {tmp_path}/none cannot be read: No such file or directory$"):
        file_sha256(f"{tmp_path}/none", key="weights_path")
