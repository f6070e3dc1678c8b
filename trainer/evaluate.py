"""`beamtune evaluate`: how well a run does on a split."""

import sys

from beam_pipelines.errors import UserError
from trainer.config import EvaluateConfig, StrategyConfig
from trainer.data import naming_damaged_shard, scoring_batches
from trainer.dataset_dir import find_shards, open_prepared, select_features
from trainer.inference import check_same_task, load_best_model
from trainer.loop import ScoringLoop
from trainer.models import model_config_from_dict
from trainer.report import TRACK, format_confusion, format_metrics, metrics_by_level, metrics_to_json
from trainer.run_dir import RunDir
from trainer.strategy import make_strategy


def evaluate(config: EvaluateConfig) -> None:
    """Prints the metrics of a split at both levels, and merges them into the run's `metrics.json`.

    What the evaluation was told lies beside them, in `evaluate-<split>.yaml`.

    Metrics of other data than those that the run was trained on are printed only: `metrics.json` has one data set.

    Raises:
        UserError: The run or the data are not there, or do not fit together.
        RunFailedError: A checkpoint or a shard is damaged.
    """
    run = RunDir(config.run_dir)
    run_config = run.config()
    run.best_checkpoint()
    trained_on = run.dataset()
    data = open_prepared(run_config["data_dir"] if config.data_dir is None else config.data_dir)
    is_same_data = data.fingerprint == trained_on.fingerprint
    if config.data_dir is None and not is_same_data:
        raise UserError(
            f"{data.path} was prepared again, differently, since {run.path} was trained: "
            "train again, or name the data with data_dir"
        )
    check_same_task(run, trained_on=trained_on, data=data)
    shards = find_shards(data, config.split)

    strategy = make_strategy(StrategyConfig())
    model = load_best_model(run, strategy=strategy)
    specs = select_features(data, model_config_from_dict(run_config["model"]).feature_names)
    batches = scoring_batches(strategy, shards, specs=specs, global_batch_size=config.batch_size, cache=False)
    with naming_damaged_shard(shards):
        levels = metrics_by_level(ScoringLoop(strategy=strategy, model=model).score(batches))

    print(format_metrics(config.split, levels, leak=data.stats.split_leak))
    print(f"\nconfusion of {config.split} tracks:")
    print(format_confusion(levels[TRACK].confusion_matrix, data.labels))
    if is_same_data:
        run.merge_metrics(config.split, metrics_to_json(levels), data=data)
        run.save_evaluation(config)
    else:
        print(
            f"note: {data.path} is not what {run.path} was trained on; metrics.json is left as it is", file=sys.stderr
        )
