"""The order of the examples in an epoch: a function of the seed and the epoch only."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Order(NamedTuple):
    """The draws of an epoch.

    Attributes:
        indices: (draws,) int64, indices into the split.
        occurrences: (draws,) int64, how often the example was drawn before.
    """

    indices: npt.NDArray[np.int64]
    occurrences: npt.NDArray[np.int64]


def natural_order(num_examples: int, num_draws: int, *, rng: np.random.Generator) -> Order:
    """Returns random permutations of all examples, one after the other, cut off after `num_draws`."""
    num_rounds = -(-num_draws // num_examples)
    rounds = [rng.permutation(num_examples) for _ in range(num_rounds)]
    return Order(
        indices=np.concatenate(rounds)[:num_draws].astype(np.int64),
        occurrences=np.arange(num_draws, dtype=np.int64) // num_examples,
    )


def balanced_order(labels: npt.NDArray[np.int64], num_draws: int, *, rng: np.random.Generator) -> Order:
    """Returns draws in which all present labels are equally frequent, up to a difference of 1.

    Every round draws one example of each label, in a new order of the labels. Within a label, no example is repeated
    before all were drawn.
    """
    present = np.unique(labels)
    num_rounds = -(-num_draws // len(present))
    turns = rng.permuted(np.tile(present, (num_rounds, 1)), axis=1).ravel()[:num_draws]
    order = Order(indices=np.empty(num_draws, dtype=np.int64), occurrences=np.empty(num_draws, dtype=np.int64))
    for label in present:
        members, places = np.flatnonzero(labels == label), np.flatnonzero(turns == label)
        if len(places) > 0:
            within = natural_order(len(members), len(places), rng=rng)
            order.indices[places] = members[within.indices]
            order.occurrences[places] = within.occurrences
    return order


def cut_slices(batches: npt.NDArray[Any], *, accumulation_steps: int, context: Any, with_previous: bool) -> Any:
    """Cuts global batches into the slices that one input pipeline yields for its replicas, in order.

    A global batch is cut into `accumulation_steps` consecutive parts, and each part into a slice per replica.

    Args:
        batches: (steps, global batch).
        accumulation_steps: Parts of a batch.
        context: The tf.distribute.InputContext.
        with_previous: Whether each slice starts with the value before its first value in the global batch, circularly.

    Returns:
        (slices, slice or 1 + slice), of the same dtype.
    """
    replicas_of_pipeline = context.num_replicas_in_sync // context.num_input_pipelines
    num_parts, part_size = len(batches) * accumulation_steps, batches.shape[1] // accumulation_steps
    slice_size = part_size // context.num_replicas_in_sync
    shape = (num_parts, context.num_input_pipelines, replicas_of_pipeline, slice_size)
    rows = batches.reshape(shape)[:, context.input_pipeline_id]
    if with_previous:
        previous = np.roll(batches, 1, axis=1).reshape(shape)[:, context.input_pipeline_id, :, :1]
        rows = np.concatenate([previous, rows], axis=-1)
    return rows.reshape(num_parts * replicas_of_pipeline, rows.shape[-1])
