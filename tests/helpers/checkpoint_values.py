"""The values in the checkpoints of runs, for tests that compare runs bit by bit."""

import json
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir

_PROGRESS = "progress/.ATTRIBUTES/py_state"
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # contains counters of layers, which differ


def checkpoint_values(run_dir: str, kind: str) -> dict[str, Any]:
    """Returns all values of a checkpoint by name, except the durations of the steps and their waits."""
    path = find_checkpoint(RunDir(run_dir).checkpoint_dir, kind)
    assert path is not None
    reader = tf.train.load_checkpoint(path)
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name != _GRAPH}
    progress = json.loads(values[_PROGRESS])
    duration_s, wait_s = progress.pop("steps_duration_s"), progress.pop("steps_input_wait_s")
    assert 0 <= wait_s < duration_s
    return {**values, _PROGRESS: progress}


def assert_same_checkpoints(run_dir: str, other_run_dir: str) -> None:
    """Asserts that the last and the best checkpoint of two runs are equal, bit for bit."""
    for kind in (LAST, BEST):
        values, others = checkpoint_values(run_dir, kind), checkpoint_values(other_run_dir, kind)
        assert values.keys() == others.keys()
        for name, value in values.items():
            np.testing.assert_array_equal(value, others[name], err_msg=name)
