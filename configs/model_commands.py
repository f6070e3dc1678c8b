"""The commands that train models, judge them and use them.

Nothing heavy is imported before a command runs, so that every `--help` answers at once.
"""

import sys
from typing import cast

from beam_pipelines.common.errors import UserError
from configs.command import Command, Invocation, config_of


def _models(invocation: Invocation) -> int:
    from trainer.models.zoo_config import ZooConfig

    config = cast(ZooConfig, config_of("models", invocation.overrides))
    from trainer.models.zoo import list_models

    list_models(config, stream=sys.stdout)
    return 0


def _train(invocation: Invocation) -> int:
    from configs.resume import with_saved_settings
    from trainer.training.config import TrainConfig

    config = cast(TrainConfig, config_of("train", with_saved_settings(invocation.overrides)))
    from trainer.training.train import train

    train(config)
    return 0


def _tune(invocation: Invocation) -> int:
    from configs.search import load_search, train_overrides

    if invocation.paths:
        return _tune_status(invocation)
    config, space_text = load_search(invocation.overrides)
    if invocation.dry_run:
        from trainer.tuner.dry_run import show_space
        from trainer.tuner.space_file import read_space

        show_space(read_space(config, space_text), config, stream=sys.stdout)
        return 0
    from trainer.tuner.tune import tune

    return tune(
        config,
        space_text=space_text,
        command=[sys.executable, "-m", "configs.cli", "tune", *invocation.overrides],
        to_overrides=train_overrides,
        stream=sys.stdout,
    )


def _tune_status(invocation: Invocation) -> int:
    if len(invocation.paths) != 2 or invocation.paths[0] != "status" or invocation.overrides:
        raise UserError(f"tune {' '.join(invocation.paths)}: expected beamtune tune status SEARCH_DIR, or settings")
    from trainer.tuner.status import show_status

    show_status(invocation.paths[1], output_format=invocation.output_format, stream=sys.stdout)
    return 0


def _evaluate(invocation: Invocation) -> int:
    from trainer.evaluation.config import EvaluateConfig

    config = cast(EvaluateConfig, config_of("evaluate", invocation.overrides))
    from trainer.evaluation.evaluate import evaluate

    evaluate(config)
    return 0


def _baselines(invocation: Invocation) -> int:
    from trainer.baselines.config import BaselinesConfig

    config = cast(BaselinesConfig, config_of("baselines", invocation.overrides))
    from trainer.baselines.baselines import run_baselines

    run_baselines(config, stream=sys.stdout)
    return 0


def _crossval(invocation: Invocation) -> int:
    from trainer.crossval.config import CrossvalConfig

    config = cast(CrossvalConfig, config_of("crossval", invocation.overrides))
    from trainer.crossval.crossval import crossval

    crossval(config, stream=sys.stdout)
    return 0


def _predict(invocation: Invocation) -> int:
    from trainer.evaluation.config import PredictConfig

    if len(invocation.paths) < 2:
        raise UserError("predict needs a run directory and at least one audio file: beamtune predict RUN FILE…")
    config = cast(PredictConfig, config_of("predict", invocation.overrides))
    from trainer.evaluation.predict import predict

    run_dir, *files = invocation.paths
    num_failed = predict(run_dir, files, config=config, output_format=invocation.output_format)
    return 1 if num_failed else 0


def _compare(invocation: Invocation) -> int:
    from trainer.compare.config import CompareConfig

    if not invocation.paths:
        raise UserError("compare needs at least one run: beamtune compare RUN…")
    config = cast(CompareConfig, config_of("compare", invocation.overrides))
    from trainer.compare.compare import compare

    compare(invocation.paths, config=config, stream=sys.stdout)
    return 0


def _tensorboard(invocation: Invocation) -> int:
    from trainer.board.config import TensorboardConfig

    if not invocation.paths:
        raise UserError("tensorboard needs at least one folder of runs: beamtune tensorboard RUNS…")
    config = cast(TensorboardConfig, config_of("tensorboard", invocation.overrides))
    from trainer.board.tensorboard_server import serve

    serve(invocation.paths, config=config)
    return 0


COMMANDS = (
    Command(
        name="models",
        summary="list the models that can be trained, with the features that they take and their sizes",
        description=(
            "Prints each model with what it takes and how many parameters it has, of which how many train, with its\n"
            "default settings on data of the given sizes. Nothing is downloaded.\n\n"
            "settings: num_genres, segment_duration_s, sample_rate_hz"
        ),
        examples=(
            "beamtune models",
            "beamtune models num_genres=8 segment_duration_s=10",
        ),
        run=_models,
    ),
    Command(
        name="train",
        summary="train a classifier on a prepared data set",
        description=(
            "Trains until the validation loss no longer falls and keeps the best weights. Given the run_dir of a run\n"
            "that was broken off, it goes on where that stopped, with that run's settings. overrides=FILE stands for\n"
            "the settings that a YAML file lists, such as best.yaml of a search.\n\n"
            "groups:   model=cnn2d|… (beamtune models lists them)   strategy=none\n"
            "settings: data_dir, run_dir, seed, epochs, global_batch_size, early_stopping_patience_epochs,\n"
            "          label_smoothing, model.*, optimizer.*, …"
        ),
        examples=(
            "beamtune train data_dir=prepared/mine run_dir=runs/first",
            "beamtune train run_dir=runs/first",
            "beamtune train data_dir=prepared/mine epochs=40 optimizer.learning_rate=0.001 model.dropout=0.5",
        ),
        run=_train,
    ),
    Command(
        name="tune",
        summary="search for good settings of train, on this machine or on many",
        description=(
            "Trains with many settings and keeps the best: best.yaml of the search_dir is what train takes as\n"
            "overrides=FILE. A search that was broken off, or whose machines were lost, goes on when the same command\n"
            "is given again. Each machine of a cluster is given the same command, and its environment tells its part.\n"
            "--dry-run prints what would be searched; `tune status DIR` shows a search, running or finished.\n\n"
            "groups:   tuner=bayesian|random|hyperband|grid   model, strategy, augment, as for train\n"
            "settings: data_dir, search_dir, space (a YAML file), objective, direction, budget.max_trials,\n"
            "          budget.max_epochs, budget.max_hours, trial_timeout_s, pruning.*, workers, max_restarts,\n"
            "          refit (train the winner on train and validation, score it on test, once), service.*, tuner.*,\n"
            "          and all settings of train, for what is not searched"
        ),
        examples=(
            "beamtune tune data_dir=prepared/mine search_dir=searches/mine workers=2 budget.max_hours=8",
            "beamtune tune data_dir=prepared/mine search_dir=searches/crnn model=crnn tuner=hyperband --dry-run",
            "beamtune tune status searches/mine",
            "beamtune tune search_dir=searches/mine refit=true",
        ),
        run=_tune,
        paths_usage="[status SEARCH_DIR]",
        positional_words=("status",),
        has_output_formats=True,
        has_dry_run=True,
    ),
    Command(
        name="evaluate",
        summary="measure a trained model on one split, by segment and by track",
        description=(
            "Prints accuracy, balanced accuracy, macro-F1 and more, of segments and of tracks (by the mean\n"
            "probability of their segments, and by their votes), with 95 % intervals, and adds them to the run's\n"
            "metrics.json; the predictions of the tracks go into predictions-<split>.csv.\n\n"
            "settings: run_dir, split, data_dir, batch_size"
        ),
        examples=(
            "beamtune evaluate run_dir=runs/first",
            "beamtune evaluate run_dir=runs/first split=validation",
        ),
        run=_evaluate,
    ),
    Command(
        name="baselines",
        summary="fit classical learners to a prepared data set and score them as networks are",
        description=(
            "Fits learners of scikit-learn to one vector of each segment: a feature that is one, or the mean and the\n"
            "deviation of one that has frames. Each gets a run directory below output_dir with its metrics.json,\n"
            "which beamtune compare reads beside those of networks. What is finished is not fitted again.\n\n"
            "learners: naive_bayes, knn, logistic_regression, svm, mlp, gradient_boosting\n"
            "settings: data_dir, output_dir, learners, feature=spectral_stats|yamnet|mfcc|log_mel|…,\n"
            "          pooling=mean_std|mean, unit=segment|track, pca, class_weighting=balanced|none, tune, seed,\n"
            "          max_matrix_mib"
        ),
        examples=(
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/mine",
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/yamnet feature=yamnet tune=true",
            "beamtune baselines data_dir=prepared/mine output_dir=baselines/pca 'learners=[knn,svm]' pca=0.95",
        ),
        run=_baselines,
    ),
    Command(
        name="crossval",
        summary="test on every fold of a data set once: mean and deviation over folds and seeds",
        description=(
            "Divides a prepared data set into folds that keep artists together, learns each fold with each seed,\n"
            "scores it on tracks that it has not heard, and prints what all runs come to. Each fold is a prepared\n"
            "data set and each run a run directory as any other. The same command goes on where it was broken off.\n\n"
            "groups:   model, strategy, augment, as for train\n"
            "settings: data_dir, output_dir, folds, seeds, split_by=group|track|segment, split_seed, folds_dir,\n"
            "          keep_folds, learner=network|baselines, baselines.* (those of beamtune baselines), and all\n"
            "          settings of train but run_dir and seed"
        ),
        examples=(
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/mine",
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/res2d model=res2d folds=10 'seeds=[0]'",
            "beamtune crossval data_dir=prepared/mine output_dir=crossval/classic learner=baselines 'seeds=[0]' "
            "baselines.feature=yamnet",
        ),
        run=_crossval,
    ),
    Command(
        name="predict",
        summary="name the genre of audio files",
        description=(
            "Prints the most probable genres of each file. A file that cannot be read gets a line on standard error,\n"
            "the others their answers, and the exit code is 1.\n\n"
            "settings: top_k, batch_size"
        ),
        examples=(
            "beamtune predict runs/first song.mp3",
            "beamtune predict runs/first *.mp3 --csv top_k=1 > genres.csv",
        ),
        run=_predict,
        paths_usage="RUN FILE…",
        has_output_formats=True,
        decodes_audio=True,
    ),
    Command(
        name="compare",
        summary="show several runs in one table: accuracies with intervals, sizes and training times",
        description=(
            "Prints a row for each run of train or baselines, and for each folder of crossval: model, input, split,\n"
            "accuracy of segments and of tracks (by mean probability, and by vote), macro-F1, parameters and training\n"
            "time. Rows whose split leaks say so.\n\n"
            "settings: split=test|validation|train, sort=given|model|accuracy|macro_f1|parameters|duration,\n"
            "          output.markdown, output.csv (files to write)"
        ),
        examples=(
            "beamtune compare runs/first runs/second",
            "beamtune compare runs/* sort=accuracy output.markdown=comparison.md output.csv=comparison.csv",
        ),
        run=_compare,
        paths_usage="RUN…",
    ),
    Command(
        name="tensorboard",
        summary="show runs in the browser: curves, confusion, mistakes to hear, embeddings, settings",
        description=(
            "Starts TensorBoard on runs, or on folders of them, and prints its address. Only this machine reaches it.\n"
            "Ctrl-C ends it.\n\n"
            "settings: port, host"
        ),
        examples=(
            "beamtune tensorboard runs",
            "beamtune tensorboard runs/first runs/second port=6007",
        ),
        run=_tensorboard,
        paths_usage="RUNS…",
    ),
)
