"""The commands that train models and score them, from `models` to `crossval`.

Each imports what it needs when it runs, so that `--help` stays fast.
"""

import os
import sys

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import check_installed
from beam_pipelines.common.python_process import python_command
from beam_pipelines.records.schema import TEST
from configs.command import Command, Invocation, load_config
from configs.early_checks import check_data, check_dataset, check_run, check_search, check_training
from configs.next_steps import after_train, name_of, say_loading, show_next


def _models(invocation: Invocation) -> int:
    from trainer.models.config import ZooConfig

    say_loading("TensorFlow")
    config = load_config(ZooConfig, "models", invocation.overrides)
    from trainer.models.zoo import list_models

    list_models(config, stream=sys.stdout)
    return 0


def _quick(invocation: Invocation) -> int:
    if len(invocation.paths) > 1:
        raise UserError(f"quick takes one folder of music: got {' '.join(invocation.paths)}")
    say_loading("Apache Beam and TensorFlow")
    from configs.compose import settings_of, without_references
    from trainer.quick.config import QuickConfig

    settings = settings_of(invocation.overrides)
    for path in invocation.paths:  # a value, not an override: Hydra would read null, ${x} and 'live'
        settings.setdefault("dataset.root", without_references(os.path.expanduser(path)))
    if not any(key.startswith("dataset") for key in settings):
        raise UserError("quick needs a folder of music: beamtune quick MUSIC_DIR output_dir=…")
    config = load_config(QuickConfig, "quick", settings)
    check_installed("apache_beam", "jinja2", "sklearn", "tensorflow", "keras")
    check_dataset(config.dataset, output_dir=config.output_dir)
    from configs.quick_steps import run_quick

    run_quick(config, stream=sys.stdout)
    return 0


def _train(invocation: Invocation) -> int:
    say_loading("TensorFlow")
    from configs.resume import with_saved_settings
    from trainer.training.config import TrainConfig

    config = load_config(TrainConfig, "train", with_saved_settings(invocation.overrides))
    check_installed("tensorflow", "keras", "matplotlib", "tensorboard")
    check_training(config.run_dir, config.data_dir)
    from trainer.training.train import train

    if train(config):
        show_next(*after_train(config.run_dir))
    return 0


def _tune(invocation: Invocation) -> int:
    if invocation.paths:
        return _tune_status(invocation)
    if not invocation.dry_run:
        say_loading("TensorFlow")
    from configs.search import load_search, train_overrides

    config, space_text = load_search(invocation.overrides)
    if invocation.dry_run:
        from trainer.tuner.space.describe import show_space
        from trainer.tuner.space.space_file import read_space

        show_space(read_space(config, space_text), config, stream=sys.stdout)
        return 0
    check_installed("keras_tuner", "sklearn", "tensorflow", "keras")
    check_search(config.search_dir, config.data_dir)
    from trainer.tuner.tune import tune

    return tune(
        config,
        space_text=space_text,
        command=python_command("configs.cli:run", "tune", *invocation.overrides),
        to_overrides=train_overrides,
        stream=sys.stdout,
    )


def _tune_status(invocation: Invocation) -> int:
    if len(invocation.paths) != 2 or invocation.paths[0] != "status" or invocation.overrides:
        raise UserError(f"tune {' '.join(invocation.paths)}: expected beamtune tune status SEARCH_DIR, or settings")
    from beam_pipelines.common.bucket_access import check_access
    from trainer.tuner.status import show_status

    check_access(read=[invocation.paths[1]])
    show_status(invocation.paths[1], output_format=invocation.output_format, stream=sys.stdout)
    return 0


def _evaluate(invocation: Invocation) -> int:
    from trainer.evaluation.config import EvaluateConfig

    say_loading("TensorFlow")
    config = load_config(EvaluateConfig, "evaluate", invocation.overrides)
    check_run(config.run_dir)
    from trainer.evaluation.evaluate import evaluate

    evaluate(config)
    run_dir, name = config.run_dir, name_of(config.run_dir)
    split = [] if config.split == TEST else [f"split={config.split}"]
    show_next(
        ["report", run_dir, f"output_dir=report/{name}", *split], ["export", run_dir, f"output_dir=exports/{name}"]
    )
    return 0


def _baselines(invocation: Invocation) -> int:
    from trainer.baselines.config import BaselinesConfig

    say_loading("TensorFlow and scikit-learn")
    config = load_config(BaselinesConfig, "baselines", invocation.overrides)
    check_installed("sklearn")
    check_data(config.data_dir)
    from trainer.baselines.baselines import run_baselines

    run_baselines(config, stream=sys.stdout)
    show_next(["compare", config.output_dir])
    return 0


def _crossval(invocation: Invocation) -> int:
    from trainer.crossval.config import NETWORK, CrossvalConfig

    say_loading("TensorFlow")
    config = load_config(CrossvalConfig, "crossval", invocation.overrides)
    if config.learner != NETWORK:
        check_installed("sklearn")
    check_data(config.data_dir)
    from trainer.crossval.crossval import crossval

    crossval(config, stream=sys.stdout)
    compare = ["compare", config.output_dir]
    if config.learner == NETWORK:
        show_next(["report", config.output_dir, f"output_dir=report/{name_of(config.output_dir)}"], compare)
    else:
        show_next(compare)
    return 0


COMMANDS = (
    Command(
        name="quick",
        summary="from a folder of music to a classifier and an honest figure, in one command",
        description=(
            "MUSIC_DIR has a folder for each genre, in it one for each artist: MUSIC_DIR/<genre>/<artist>/…/<file>.\n"
            "Computes embeddings of a pretrained network, fits logistic regression to them, cross-validates it on\n"
            "artists that it was not fitted on, exports the model that is fitted on all songs, and writes a report.\n"
            "If it is interrupted, the same command resumes it. Files that cannot be used are listed in\n"
            "prepared/rejects.jsonl.\n\n"
            "groups:   features=musicnn|yamnet|[musicnn,yamnet]   dataset=folder|csv|…, runner, as for prepare\n"
            "settings: output_dir, folds, seed, formats (of the export), audio.max_duration_s (seconds from the start\n"
            "          of each song), max_reject_fraction, dataset.*, audio.*, segment.*, features.<name>.*"
        ),
        examples=(
            "beamtune quick ~/Music output_dir=quick/mine",
            "beamtune quick ~/Music output_dir=quick/both 'features=[musicnn,yamnet]' audio.max_duration_s=60",
            "beamtune quick dataset=csv dataset.path=tracks.csv output_dir=quick/table folds=10",
        ),
        run=_quick,
        extras=("beam", "train", "explore"),
        paths_usage="[MUSIC_DIR]",
        decodes_audio=True,
    ),
    Command(
        name="models",
        summary="list the models with their input features and numbers of parameters",
        description=(
            "Prints each model with its input features and its numbers of all and of trainable parameters, with\n"
            "default settings and for data of the given sizes. Nothing is downloaded.\n\n"
            "settings: num_genres, segment_duration_s, sample_rate_hz"
        ),
        examples=(
            "beamtune models",
            "beamtune models num_genres=8 segment_duration_s=10",
        ),
        run=_models,
        extras=("train",),
    ),
    Command(
        name="train",
        summary="train a classifier on a prepared data set",
        description=(
            "Trains until the validation loss stops falling and keeps the best weights. Given the run_dir of an\n"
            "interrupted run, it resumes that run with its settings. --config FILE reads settings from a YAML file,\n"
            "such as the config.yaml of a run or the best.yaml of a search.\n\n"
            "groups:   model=cnn2d|… (beamtune models lists them)   strategy=none|mirrored|multi_worker|tpu\n"
            "          augment=none|default\n"
            "settings: data_dir, run_dir, seed, epochs, global_batch_size, early_stopping_patience_epochs,\n"
            "          label_smoothing, calibrate, model.*, optimizer.*, mlflow.tracking_uri, …\n"
            "speed:    cache, steps_per_call, jit_compile, precision, augment.runs_on (docs/train.md)"
        ),
        examples=(
            "beamtune train data_dir=prepared/mine run_dir=runs/first",
            "beamtune train run_dir=runs/first",
            "beamtune train data_dir=prepared/mine epochs=40 optimizer.learning_rate=0.001 model.dropout=0.5",
        ),
        run=_train,
        extras=("train",),
    ),
    Command(
        name="tune",
        summary="search for good settings of train, on one machine or several",
        description=(
            "Trains with many settings and writes the best to best.yaml in search_dir, which train reads as\n"
            "overrides=FILE. If the search is interrupted, or its machines are lost, the same command resumes it. Run\n"
            "the same command on each machine of a cluster; environment variables set the role of each. --dry-run\n"
            "prints the search space; `tune status DIR` shows a running or finished search.\n\n"
            "groups:   tuner=bayesian|random|hyperband|grid   model, strategy, augment, as for train\n"
            "settings: data_dir, search_dir, space (a YAML file), objective, direction, budget.max_trials,\n"
            "          budget.max_epochs, budget.max_hours, trial_timeout_s, pruning.*, workers, max_restarts,\n"
            "          refit (train the best model on train and validation, evaluate it once on test), service.*,\n"
            "          tuner.*, and all settings of train, for settings that are not searched"
        ),
        examples=(
            "beamtune tune data_dir=prepared/mine search_dir=searches/mine workers=2 budget.max_hours=8",
            "beamtune tune data_dir=prepared/mine search_dir=searches/crnn model=crnn tuner=hyperband --dry-run",
            "beamtune tune status searches/mine",
            "beamtune tune search_dir=searches/mine refit=true",
        ),
        run=_tune,
        extras=("train", "tune"),
        paths_usage="[status SEARCH_DIR]",
        positional_words=("status",),
        output_formats=("json", "csv"),
        has_dry_run=True,
    ),
    Command(
        name="evaluate",
        summary="evaluate a trained model on one split, by segment and by track",
        description=(
            "Prints accuracy, balanced accuracy, macro-F1 and more, of segments and of tracks (by the mean\n"
            "probability of their segments, and by majority vote), with 95 % confidence intervals, and adds them to\n"
            "metrics.json of the run. Writes the predictions for the tracks to predictions-<split>.csv.\n\n"
            "settings: run_dir, split, data_dir, batch_size, calibrate (a run that was trained without calibration)"
        ),
        examples=(
            "beamtune evaluate run_dir=runs/first",
            "beamtune evaluate run_dir=runs/first split=validation",
        ),
        run=_evaluate,
        extras=("train",),
    ),
    Command(
        name="baselines",
        summary="fit classical classifiers to a prepared data set and evaluate them like networks",
        description=(
            "Fits classifiers of scikit-learn to one vector per segment: a feature that is a vector, or the mean and\n"
            "standard deviation over the frames of one that has frames; several features are put together. Each\n"
            "gets a run directory below output_dir with a metrics.json, which beamtune compare reads like those of\n"
            "networks. Finished ones are not fitted again.\n\n"
            "learners: naive_bayes, knn, logistic_regression, svm, mlp, gradient_boosting\n"
            "settings: data_dir, output_dir, learners, feature=spectral_stats|yamnet|mfcc|log_mel|… or a list,\n"
            "          pooling=mean_std|mean, unit=segment|track, pca, whiten, class_weighting=balanced|none,\n"
            "          tune, seed, max_matrix_mib"
        ),
        examples=(
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/mine feature=log_mel",
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/yamnet feature=yamnet tune=true",
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/pca feature=log_mel "
            "'learners=[knn,svm]' pca=0.95",
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/both 'feature=[musicnn,yamnet]'",
        ),
        run=_baselines,
        extras=("train",),
    ),
    Command(
        name="crossval",
        summary="cross-validate: mean and standard deviation of the scores over folds and seeds",
        description=(
            "Divides a prepared data set into folds that keep artists together, trains once per fold and seed,\n"
            "evaluates on the test tracks of the fold, and prints the scores over all runs. If it is interrupted, the\n"
            "same command resumes it. Each fold is a prepared directory, and each run a run directory of train.\n\n"
            "groups:   model, strategy, augment, as for train\n"
            "settings: data_dir, output_dir, folds, seeds, split_by=group|track|segment, split_seed, folds_dir,\n"
            "          keep_folds, learner=network|baselines, baselines.* (those of beamtune baselines), and all\n"
            "          settings of train except run_dir and seed"
        ),
        examples=(
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/mine",
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/res2d model=res2d folds=10 'seeds=[0]'",
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/classic learner=baselines 'seeds=[0]' "
            "baselines.feature=yamnet",
        ),
        run=_crossval,
        extras=("train",),
    ),
)
