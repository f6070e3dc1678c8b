"""Whether examples fit into memory."""

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.memory import check_fits_into_memory
from trainer.data.prepared import Shard

SPECS = {"log_mel": FeatureSpec(name="log_mel", shape=(100, 64), dtype="float16")}
SHARDS = [Shard(path="a", num_examples=1_000), Shard(path="b", num_examples=500)]
NEEDED = 1_500 * (100 * 64 * 2 + 16)


def test_examples_that_fit_pass_and_one_byte_less_is_refused():
    check_fits_into_memory(SHARDS, SPECS, available_bytes=NEEDED)
    check_fits_into_memory(SHARDS, SPECS, available_bytes=None)
    with pytest.raises(UserError, match=r"cache=true: .* take 0\.0 GiB .*: set cache=false \(with sampling=natural\)"):
        check_fits_into_memory(SHARDS, SPECS, available_bytes=NEEDED - 1)
