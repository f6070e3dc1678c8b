"""The commands that predict genres with a trained model: `predict` and `tag`.

Each imports what it needs when it runs, so that `--help` stays fast.
"""

import os
import shlex
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import check_installed
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.paths import is_local
from configs.command import Command, Invocation, load_config
from configs.early_checks import check_model
from configs.nearby_runs import nearby_runs
from configs.next_steps import say_loading, show_next

if TYPE_CHECKING:
    from beam_pipelines.runners.config import RunnerConfig
    from trainer.library.predict_library import RunParts


def _predict(invocation: Invocation) -> int:
    from trainer.evaluation.config import PredictConfig

    invocation = with_run_as_path(invocation)
    if len(invocation.paths) < 2:
        raise UserError(
            f"predict needs a run directory and at least one audio file: beamtune predict RUN FILE…{nearby_runs()}"
        )
    say_loading("TensorFlow")
    config = load_config(PredictConfig, "predict", invocation.overrides, paths=invocation.paths)
    if config.output is not None and invocation.output_format != "table":
        raise UserError(
            f"--{invocation.output_format} prints, and output={config.output} writes a table in its place: leave one "
            "out"
        )
    _check_model_is_first("predict", invocation)
    if config.output is not None and config.output.endswith(".parquet"):
        check_installed("pyarrow")
    if config.runner is not None:
        check_installed("apache_beam")
    run_dir, *given = invocation.paths
    check_model(run_dir)
    from trainer.library.inputs import list_inputs

    inputs = list_inputs(given)
    for note in inputs.notes:
        print(f"note: {visible_line(note)}", file=sys.stderr)
    from trainer.evaluation.predict import predict
    from trainer.library.predict_library import predict_library

    if config.output is None:
        num_failed = predict(run_dir, inputs.paths, config=config, output_format=invocation.output_format)
        if invocation.output_format == "table" and num_failed < len(inputs.paths) and sys.stdout.isatty():
            show_next(["serve", run_dir] if len(given) == 1 and os.path.isfile(given[0]) else ["tag", run_dir, *given])
    else:
        num_failed = predict_library(run_dir, inputs.paths, config=config, run_parts=_run_parts(config.runner))
    return 1 if num_failed else 0


def with_run_as_path(invocation: Invocation) -> Invocation:
    """Returns the words with the value of run_dir=…, which other commands take as a setting, as the first path."""
    runs = [word for word in invocation.overrides if word.startswith("run_dir=")]
    if len(runs) != 1:
        return invocation
    return replace(
        invocation,
        paths=[runs[0].removeprefix("run_dir="), *invocation.paths],
        overrides=[word for word in invocation.overrides if word not in runs],
    )


def _check_model_is_first(name: str, invocation: Invocation) -> None:
    """Raises a UserError if the first path is no folder, as runs and exports are, but another one is."""
    first, *others = invocation.paths
    folder = next(
        (path for path in others if is_local(path) and os.path.exists(os.path.join(path, "config.yaml"))), None
    )
    hint = ""
    if folder is not None:
        words = [folder, first, *(path for path in others if path != folder), *invocation.overrides]
        hint = f"; did you mean: {shlex.join(['beamtune', name, *words])}"
    if is_local(first) and not os.path.isdir(first):
        raise UserError(
            f"{first} is no folder: expected that of a run or an export first, and then the audio files"
            f"{hint or nearby_runs()}"
        )


def _run_parts(runner: "RunnerConfig | None") -> "RunParts | None":
    """Returns what predicts on a runner; None without one."""
    if runner is None:
        return None
    from beam_pipelines.runners.run_parts import run_parts

    return partial(run_parts, config=runner, job_name="beamtune-predict")


def _tag(invocation: Invocation) -> int:
    from trainer.tag.config import TagConfig

    invocation = with_run_as_path(invocation)
    config = load_config(TagConfig, "tag", invocation.overrides, paths=invocation.paths[:1])
    if config.undo is not None:
        if invocation.paths:
            raise UserError(f"undo={config.undo} names the files: {' '.join(invocation.paths)} must be left out")
        from trainer.tag.undo import undo

        return 1 if undo(config.undo, config) else 0
    if len(invocation.paths) < 2:
        raise UserError(
            f"tag needs a run directory and music files or folders: beamtune tag RUN FILE_OR_FOLDER…{nearby_runs()}"
        )
    _check_model_is_first("tag", invocation)
    check_installed("mutagen")
    run_dir, *given = invocation.paths
    check_model(run_dir)
    say_loading("TensorFlow")
    from trainer.tag.tag import tag

    return 1 if tag(run_dir, given, config) else 0


COMMANDS = (
    Command(
        name="predict",
        summary="predict the genre of audio files, folders, playlists and tables",
        description=(
            "Prints the most probable genres of each file, by a run or by an export of it. For a file that cannot be\n"
            "read, it prints a line to standard error, continues with the next file, and exits with 1 at the end.\n"
            "A folder, local or gs://, stands for all audio files below it; a playlist (.m3u) and a table (.csv with\n"
            "a column path or file) for those that it names. With output=FILE, a table is written: the same command\n"
            "continues it after an interruption, and adds the files that are new.\n\n"
            "groups:   runner=direct|dask|dataflow|portable (Apache Beam predicts the files of output)\n"
            "settings: top_k, min_confidence (the label of files below it is unknown), timeline (the genre of each\n"
            "          segment), embeddings, output (ends with .csv, .jsonl or .parquet), num_threads, batch_size"
        ),
        examples=(
            "beamtune predict runs/first song.mp3",
            "beamtune predict runs/first *.mp3 --csv top_k=1 > genres.csv",
            "beamtune predict runs/first mix.mp3 timeline=true",
            "beamtune predict runs/first ~/Music output=genres.csv min_confidence=0.6",
            "beamtune predict runs/first gs://my-bucket/music output=gs://my-bucket/genres.parquet runner=dataflow …",
        ),
        run=_predict,
        extras=("train",),
        paths_usage="RUN FILE…",
        output_formats=("json", "jsonl", "csv"),
        decodes_audio=True,
    ),
    Command(
        name="tag",
        summary="write the predicted genres into the tags of music files, or only show them",
        description=(
            "Prints the genre in the tags of each file and the predicted one. Nothing is written without write=true.\n"
            "Then the old genres are saved to a file first, from which undo=FILE restores them. Each file is replaced\n"
            "by a checked copy; audio and other tags stay. For a file that fails, it prints a line to standard error,\n"
            "continues with the next file, and exits with 1 at the end.\n\n"
            "formats:  mp3, MP4 (m4a), FLAC, Ogg Vorbis, Opus, Ogg FLAC, WAV, AIFF\n"
            "settings: write, min_confidence (less probable genres are not written), max_genres,\n"
            "          only_missing (leave files that have a genre), undo_file, undo, batch_size"
        ),
        examples=(
            "beamtune tag runs/first ~/Music",
            "beamtune tag runs/first ~/Music min_confidence=0.8 write=true",
            "beamtune tag runs/first *.mp3 max_genres=2 min_confidence=0.3 only_missing=true write=true",
            "beamtune tag undo=tags/undo-20261129T201530Z-4711.jsonl write=true",
        ),
        run=_tag,
        extras=("train", "tag"),
        paths_usage="RUN FILE_OR_FOLDER…",
        decodes_audio=True,
    ),
)
