"""Whether the examples of a run fit into memory, checked before they are read."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.prepared import Shard

# The label and the key of an example.
_BYTES_BESIDE_FEATURES = 16


def check_fits_into_memory(
    shards: Iterable[Shard], specs: Mapping[str, FeatureSpec], *, available_bytes: int | None
) -> None:
    """Checks that the examples of shards fit into memory.

    Args:
        shards: The files whose examples stay in memory.
        specs: The features that are kept of each.
        available_bytes: Memory that can be used; None if it is not known, which passes.

    Raises:
        UserError: They do not.
    """
    per_example = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs.values())
    needed = sum(shard.num_examples for shard in shards) * (per_example + _BYTES_BESIDE_FEATURES)
    if available_bytes is not None and needed > available_bytes:
        raise UserError(
            f"cache=true: the examples of the train and validation splits take {needed / 2**30:.1f} GiB of memory, and "
            f"{available_bytes / 2**30:.1f} GiB are available: set cache=false (with sampling=natural), which reads "
            "them from the shards in every epoch"
        )
