"""Training and evaluating on one fold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.crossval.config import CrossvalConfig
from trainer.crossval.fold_data import FoldKey, write_fold
from trainer.crossval.fold_trainers import NetworkTrainer
from trainer.crossval.folds import partition_segments
from trainer.crossval.source import Source
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate


@pytest.mark.slow
def test_the_precision_of_training_does_not_change_the_evaluation(
    make_source: Callable[..., Source], make_config: Callable[..., CrossvalConfig], tmp_path: Path
) -> None:
    config, source = make_config(precision="mixed_bfloat16"), make_source()
    fold_dir, run_dir, alone = (str(tmp_path / name) for name in ("fold", "mixed", "alone"))
    key = FoldKey(num_folds=config.folds, fold=0, split_by=config.split_by, split_seed=config.split_seed)
    partition = partition_segments(source, config)
    write_fold(fold_dir, key, source=source, partition=partition, on_batch=lambda: None)
    NetworkTrainer(config).run(data_dir=fold_dir, run_dir=run_dir, seed=0)
    shutil.copytree(run_dir, alone)
    tf.keras.config.set_dtype_policy("float32")
    evaluate(EvaluateConfig(run_dir=alone))
    levels = [json.loads((Path(path) / "metrics.json").read_text())["test"] for path in (run_dir, alone)]
    assert levels[0] == levels[1]
