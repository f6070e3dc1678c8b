"""The commands of `beamtune`: what each is called, what its help says, and what runs it.

Nothing heavy is imported before a command runs, so that every `--help` answers at once.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from beam_pipelines.errors import UserError


@dataclass(frozen=True)
class Invocation:
    """What a command was called with.

    Attributes:
        overrides: `key=value` settings.
        paths: Positional arguments that are no settings; only commands with `paths_usage` have any.
        output_format: table, json or csv.
        dry_run: Whether to say what would be done, and do nothing.
    """

    overrides: Sequence[str]
    paths: Sequence[str] = ()
    output_format: str = "table"
    dry_run: bool = False


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        summary: One line for the list of commands.
        description: What it does, and its most used settings.
        examples: Command lines that work as they stand.
        run: Runs it; returns the exit code.
        paths_usage: What its positional paths are called, such as "RUN FILE…"; None where it takes none.
        has_output_formats: Whether it prints JSON or CSV where it is asked to.
        positional_key: The setting whose value may be given as a word by itself, such as name: `download fma_small` is
            `download name=fma_small`.
        decodes_audio: Whether it decodes audio, so that decoders may have something to say.
        has_dry_run: Whether it can say what it would do, and do nothing.
    """

    name: str
    summary: str
    description: str
    examples: Sequence[str]
    run: Callable[[Invocation], int]
    paths_usage: str | None = None
    has_output_formats: bool = False
    positional_key: str | None = None
    decodes_audio: bool = False
    has_dry_run: bool = False


def _synthesize(invocation: Invocation) -> int:
    from beam_pipelines.config import SynthesizeConfig
    from beam_pipelines.datasets.synthetic import write_tracks

    config = cast(SynthesizeConfig, _config("synthesize", invocation.overrides))
    tracks = write_tracks(config.dataset, num_workers=config.num_workers)
    print(f"{len(tracks)} tracks of {len({track.genre for track in tracks})} genres: {config.dataset.root}")
    return 0


def _download(invocation: Invocation) -> int:
    from beam_pipelines.download.config import DownloadConfig

    config = cast(DownloadConfig, _config("download", invocation.overrides))
    from beam_pipelines.download.fetch import download

    download(config)
    return 0


def _prepare(invocation: Invocation) -> int:
    from beam_pipelines.config import PrepareConfig

    config = cast(PrepareConfig, _config("prepare", invocation.overrides))
    if invocation.dry_run:
        from beam_pipelines.dry_run import dry_run

        dry_run(config, stream=sys.stdout)
        return 0
    from beam_pipelines.prepare import prepare

    prepare(config)
    return 0


def _convert(invocation: Invocation) -> int:
    from beam_pipelines.convert.config import ConvertConfig

    config = cast(ConvertConfig, _config("convert", invocation.overrides))
    from beam_pipelines.convert.pipeline import convert

    convert(config)
    return 0


def _train(invocation: Invocation) -> int:
    from configs.resume import with_saved_settings
    from trainer.config import TrainConfig

    config = cast(TrainConfig, _config("train", with_saved_settings(invocation.overrides)))
    from trainer.train import train

    train(config)
    return 0


def _evaluate(invocation: Invocation) -> int:
    from trainer.config import EvaluateConfig

    config = cast(EvaluateConfig, _config("evaluate", invocation.overrides))
    from trainer.evaluate import evaluate

    evaluate(config)
    return 0


def _baselines(invocation: Invocation) -> int:
    from trainer.baselines.config import BaselinesConfig

    config = cast(BaselinesConfig, _config("baselines", invocation.overrides))
    from trainer.baselines.baselines import run_baselines

    run_baselines(config, stream=sys.stdout)
    return 0


def _crossval(invocation: Invocation) -> int:
    from trainer.crossval.config import CrossvalConfig

    config = cast(CrossvalConfig, _config("crossval", invocation.overrides))
    from trainer.crossval.crossval import crossval

    crossval(config, stream=sys.stdout)
    return 0


def _predict(invocation: Invocation) -> int:
    from trainer.config import PredictConfig

    if len(invocation.paths) < 2:
        raise UserError("predict needs a run directory and at least one audio file: beamtune predict RUN FILE…")
    config = cast(PredictConfig, _config("predict", invocation.overrides))
    from trainer.predict import predict

    run_dir, *files = invocation.paths
    num_failed = predict(run_dir, files, config=config, output_format=invocation.output_format)
    return 1 if num_failed else 0


def _compare(invocation: Invocation) -> int:
    from trainer.compare.config import CompareConfig

    if not invocation.paths:
        raise UserError("compare needs at least one run: beamtune compare RUN…")
    config = cast(CompareConfig, _config("compare", invocation.overrides))
    from trainer.compare.compare import compare

    compare(invocation.paths, config=config, stream=sys.stdout)
    return 0


def _tensorboard(invocation: Invocation) -> int:
    from trainer.board.config import TensorboardConfig

    if not invocation.paths:
        raise UserError("tensorboard needs at least one folder of runs: beamtune tensorboard RUNS…")
    config = cast(TensorboardConfig, _config("tensorboard", invocation.overrides))
    from trainer.board.serve import serve

    serve(invocation.paths, config=config)
    return 0


def _explore(invocation: Invocation) -> int:
    from trainer.explore.config import ExploreConfig

    config = cast(ExploreConfig, _config("explore", invocation.overrides))
    from trainer.explore.explore import explore

    explore(config)
    return 0


def _models(invocation: Invocation) -> int:
    from trainer.zoo_config import ZooConfig

    config = cast(ZooConfig, _config("models", invocation.overrides))
    from trainer.zoo import list_models

    list_models(config, stream=sys.stdout)
    return 0


def _config(config_name: str, overrides: Sequence[str]) -> Any:
    from configs.compose import compose, to_dataclass

    return to_dataclass(compose(config_name, overrides))


_COMMANDS = (
    Command(
        name="synthesize",
        summary="compose the embedded data set: mp3 files of five genres by invented artists",
        description=(
            "Composes music and writes it as mp3 files with a table of the tracks. The same settings make the same\n"
            "files, to the byte. Files that are there already are kept.\n\n"
            "settings: dataset.root, dataset.artists_per_genre, dataset.tracks_per_artist, dataset.duration_s,\n"
            "dataset.seed, num_workers"
        ),
        examples=(
            "beamtune synthesize",
            "beamtune synthesize dataset.root=/tmp/music dataset.artists_per_genre=12 dataset.seed=1",
        ),
        run=_synthesize,
    ),
    Command(
        name="download",
        summary="fetch a published data set, checked and unpacked",
        description=(
            "Fetches an archive, checks its SHA-1 and unpacks it. A download that was broken off goes on where it\n"
            "stopped when the same command is given again. The archive is deleted once it is unpacked.\n\n"
            "names:    fma_small    7.2 GiB, 8,000 clips of 30 s, 8 balanced genres\n"
            "          fma_medium   22 GiB, 25,000 clips of 30 s, 16 unbalanced genres\n"
            "          fma_large    93 GiB, 106,574 clips of 30 s, 161 genres\n"
            "          fma_full     879 GiB, 106,574 untrimmed tracks, 161 genres\n"
            "          fma_metadata 342 MiB, genres, artists and splits of all of these: they need it\n"
            "          gtzan        not to be had: checks the copy of your own that gtzan_path names\n"
            "settings: root (the folder to fetch to), keep_archive, base_url, gtzan_path"
        ),
        examples=(
            "beamtune download fma_metadata",
            "beamtune download fma_small root=data/fma keep_archive=true",
            "beamtune download gtzan gtzan_path=genres.tar.gz",
        ),
        run=_download,
        positional_key="name",
    ),
    Command(
        name="prepare",
        summary="turn audio into sharded TFRecords, split so that no artist is on two sides",
        description=(
            "Decodes audio, cuts it into segments, computes features and writes sharded TFRecords, as an Apache Beam\n"
            "pipeline. A run that was broken off goes on where it stopped when the same command is given again. Files\n"
            "that cannot be used are listed in rejects.jsonl.\n\n"
            "No artist is in two splits, and no recording: duplicates.jsonl lists tracks that hold the same.\n\n"
            "groups:   dataset=synthetic|folder|csv|gtzan|fma   split=auto|official|fault_filtered|group|random\n"
            "          features=log_mel|mfcc|spectral_stats|waveform|yamnet|yamnet_log_mel|[log_mel,mfcc]\n"
            "          runner=direct|dask|dataflow|portable\n"
            "settings: output_dir, overwrite, seed, max_reject_fraction, dataset.*, split.*, audio.*, segment.*,\n"
            "          duplicates.*, features.<name>.*, shards.*, runner.*"
        ),
        examples=(
            "beamtune prepare",
            "beamtune prepare dataset=folder dataset.root=~/Music features=log_mel output_dir=prepared/mine",
            "beamtune prepare dataset=csv dataset.path=tracks.csv 'features=[log_mel,mfcc]' segment.duration_s=5",
            "beamtune prepare dataset=folder dataset.root=~/Music --dry-run",
            "beamtune prepare dataset=gtzan dataset.root=genres.tar.gz output_dir=prepared/gtzan",
            "beamtune prepare dataset=fma dataset.subset=small split.folds=5 split.fold=0 output_dir=prepared/fma-0",
        ),
        run=_prepare,
        decodes_audio=True,
        has_dry_run=True,
    ),
    Command(
        name="convert",
        summary="turn a folder of any audio into WAV or FLAC",
        description=(
            "Converts every audio file of a folder to 16-bit WAV or FLAC and keeps the layout of the folder, as an\n"
            "Apache Beam pipeline. A run that was broken off goes on where it stopped when the same command is given\n"
            "again, and later runs convert what is new or has changed. Files that cannot be used are listed in\n"
            "rejects.jsonl.\n\n"
            "groups:   runner=direct|dask|dataflow|portable\n"
            "settings: source, output_dir, format=wav|flac, sample_rate_hz, channels=1|2, max_duration_s, overwrite,\n"
            "          runner.*"
        ),
        examples=(
            "beamtune convert source=~/Music output_dir=converted/wav",
            "beamtune convert source=~/Music output_dir=converted/flac format=flac sample_rate_hz=16000 channels=1",
        ),
        run=_convert,
        decodes_audio=True,
    ),
    Command(
        name="explore",
        summary="show a prepared data set: a page with charts, tables and sound, and TensorBoard events",
        description=(
            "Writes one HTML file, which needs no other and no network, and the same for TensorBoard: tracks by genre\n"
            "and split, durations, loudness, groups, mean spectra of genres, tracks on principal components, an\n"
            "example of each genre to hear and see, tracks left out, and duplicates.\n\n"
            "settings: output_dir, seed, projection_tracks, example_genres, example_duration_s, batch_size"
        ),
        examples=(
            "beamtune explore prepared/mine",
            "beamtune explore prepared/mine output_dir=explore/first example_genres=5 seed=1",
        ),
        run=_explore,
        positional_key="data_dir",
        decodes_audio=True,
    ),
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
            "that was broken off, it goes on where that stopped, with that run's settings.\n\n"
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

COMMANDS = {command.name: command for command in _COMMANDS}
