"""The commands that use trained models, or look at runs: from `export` to `tensorboard`.

Each imports what it needs when it runs, so that `--help` stays fast.
"""

import os
import sys

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import check_installed
from beam_pipelines.common.paths import is_local
from configs.command import Command, Invocation, load_config
from configs.early_checks import check_model, check_reported, check_run
from configs.nearby_runs import nearby_runs
from configs.next_steps import say_loading, show_next
from configs.predict_commands import with_run_as_path


def _export(invocation: Invocation) -> int:
    from trainer.export.config import ONNX, ExportConfig

    invocation = with_run_as_path(invocation)
    if len(invocation.paths) != 1:
        raise UserError(f"export needs one run directory: beamtune export RUN output_dir=…{nearby_runs()}")
    say_loading("TensorFlow")
    config = load_config(ExportConfig, "export", invocation.overrides, paths=invocation.paths)
    if ONNX in config.formats:
        check_installed("tf2onnx", "onnx", "onnxruntime")
    check_run(invocation.paths[0])
    from trainer.export.export import export

    export(invocation.paths[0], config, stream=sys.stdout)
    show_next(["serve", config.output_dir], ["predict", config.output_dir, "song.mp3"])
    return 0


def _review(invocation: Invocation) -> int:
    from trainer.review.config import ReviewConfig

    if len(invocation.paths) != 1:
        raise UserError("review needs one directory of crossval: beamtune review CROSSVAL_DIR output_dir=…")
    say_loading("the libraries that write the page")
    config = load_config(ReviewConfig, "review", invocation.overrides, paths=invocation.paths)
    check_installed("jinja2")
    from trainer.review.review import review

    review(invocation.paths[0], config, stream=sys.stdout)
    return 0


def _report(invocation: Invocation) -> int:
    from trainer.report.config import ReportConfig

    invocation = with_run_as_path(invocation)
    if len(invocation.paths) != 1:
        raise UserError(f"report needs one directory: beamtune report RUN{nearby_runs()}")
    say_loading("the libraries that draw the page")
    config = load_config(ReportConfig, "report", invocation.overrides, paths=invocation.paths)
    check_installed("jinja2")
    check_reported(invocation.paths[0])
    from configs.saved_command import saved_command
    from trainer.report.report import report

    report(invocation.paths[0], config, to_command=saved_command, stream=sys.stdout)
    return 0


def _serve(invocation: Invocation) -> int:
    from trainer.serve.config import ServeConfig
    from trainer.serve.platform import platform_of

    invocation = with_run_as_path(invocation)
    platform = platform_of()
    paths = list(invocation.paths) or [uri for uri in [platform.storage_uri] if uri is not None]
    if len(paths) != 1:
        raise UserError(f"serve needs one run or export: beamtune serve RUN_OR_EXPORT{nearby_runs()}")
    # At once, and not when the port is open and TensorFlow is imported.
    if is_local(paths[0]) and not os.path.isdir(paths[0]):
        raise UserError(f"{paths[0]} is no folder: expected the folder of a run or an export{nearby_runs()}")
    say_loading("TensorFlow")
    config = load_config(ServeConfig, "serve", invocation.overrides, paths=paths)
    check_installed("fastapi", "uvicorn", "tensorflow", "keras")
    check_model(paths[0])
    from trainer.serve.serve import serve

    serve(paths[0], config=config, platform=platform)
    return 0


def _compare(invocation: Invocation) -> int:
    from trainer.compare.config import CompareConfig

    if not invocation.paths:
        raise UserError("compare needs at least one run: beamtune compare RUN…")
    config = load_config(CompareConfig, "compare", invocation.overrides, paths=invocation.paths)
    from trainer.common.files import expand_pattern
    from trainer.compare.compare import compare

    paths = [path for one in invocation.paths for path in expand_pattern(one)]
    compare(paths, config=config, stream=sys.stdout)
    return 0


def _runs(invocation: Invocation) -> int:
    from trainer.listing.config import RunsConfig

    if len(invocation.paths) > 1:
        raise UserError(f"runs takes one folder: got {' '.join(invocation.paths)}")
    root = invocation.paths[0] if invocation.paths else "."
    config = load_config(RunsConfig, "runs", invocation.overrides, paths=[root])
    from trainer.listing.list_results import list_results

    list_results(root, config, output_format=invocation.output_format, stream=sys.stdout)
    return 0


def _tensorboard(invocation: Invocation) -> int:
    from trainer.board.config import TensorboardConfig

    if not invocation.paths:
        raise UserError("tensorboard needs at least one folder of runs: beamtune tensorboard RUNS…")
    say_loading("TensorBoard")
    config = load_config(TensorboardConfig, "tensorboard", invocation.overrides, paths=invocation.paths)
    from trainer.board.tensorboard_server import serve

    serve(invocation.paths, config=config)
    return 0


COMMANDS = (
    Command(
        name="export",
        summary="write a finished run as a model that runs without beamtune, front end inside",
        description=(
            "Writes a saved model of TensorFlow that takes samples at any rate and returns the probabilities of the\n"
            "genres: resampling, segments and features are in its graph. Then loads it in a process without beamtune,\n"
            "compares it with beamtune predict on clips of the prepared data, and prints and saves the differences.\n\n"
            "formats:  saved_model (all that TensorFlow runs), keras (the network alone, for Python with beamtune),\n"
            "          tflite, tflite_float16, tflite_dynamic, tflite_int8, onnx (one segment of samples);\n"
            "          where tensorflow-io is installed, a second saved model takes mp3, FLAC and WAV files\n"
            "settings: output_dir, formats, reference_clips, max_difference"
        ),
        examples=(
            "beamtune export runs/first output_dir=exports/first",
            "beamtune export runs/first output_dir=exports/first 'formats=[saved_model,tflite]'",
        ),
        run=_export,
        extras=("train",),
        paths_usage="RUN",
        decodes_audio=True,
    ),
    Command(
        name="review",
        summary="find tracks whose genre is likely wrong, hear them, and correct the table of the data set",
        description=(
            "Reads the predictions of a cross-validation for all tracks, each by models that were not trained on it,\n"
            "and writes a page with excerpts of suspected label errors and of the least certain tracks. Choose the\n"
            "right genres there and save the table: prepare dataset=csv dataset.path=corrected.csv reads it.\n"
            "ranking.csv has all tracks, the most likely errors first.\n\n"
            "settings: output_dir, suspects, uncertain (the most tracks on the page), excerpt_duration_s,\n"
            "          data_dir (where the data set is now)"
        ),
        examples=(
            "beamtune review crossval/mine output_dir=review/mine",
            "beamtune review crossval/baselines/logistic_regression output_dir=review/mine suspects=300",
        ),
        run=_review,
        extras=("explore",),
        paths_usage="CROSSVAL_DIR",
        decodes_audio=True,
    ),
    Command(
        name="report",
        summary="write one page about a run, a cross-validation, a search or a folder of baselines",
        description=(
            "Writes index.html, one file that loads nothing, and report.json, which has every number on it:\n"
            "accuracy with intervals beside chance, the largest genre and baselines; genres, confusion, calibration,\n"
            "accuracy by certainty, learning curves; mistakes to hear; errors by artist; data, settings, versions and\n"
            "hashes. It is made from what the run has saved, without TensorFlow.\n\n"
            "settings: output_dir, split=test|validation|train, baselines (a folder of beamtune baselines),\n"
            "          data_dir (where the data set is now), confused_pairs, confident_mistakes, uncertain_mistakes\n"
            "          (how many are on the page), excerpt_duration_s"
        ),
        examples=(
            "beamtune report runs/first output_dir=report/first baselines=baselines/mine",
            "beamtune report crossval/mine output_dir=report/crossval",
            "beamtune report search/mine output_dir=report/search",
        ),
        run=_report,
        extras=("explore",),
        paths_usage="RUN",
        decodes_audio=True,
    ),
    Command(
        name="serve",
        summary="predict the genre of files that are sent to an HTTP service, with a page for the browser",
        description=(
            "Serves a run or an export on this machine: a page at /, POST /v1/predict, GET /v1/model, /docs (the\n"
            "API), /healthz, /readyz, /metrics. It answers with the probabilities of beamtune predict. Limits of\n"
            "size, duration and number are settings. SIGTERM or Ctrl-C stops it when running requests have ended.\n"
            "For other machines to connect, it needs token_file, a file with a token that clients send. In a\n"
            "container, Vertex AI or Cloud Run name port, routes and model in variables (AIP_*, PORT).\n\n"
            "settings: port, host, token_file, allowed_hosts (of a reverse proxy), max_upload_bytes, max_duration_s,\n"
            "          upload_timeout_s, num_threads, max_waiting, max_connections, min_confidence, batch_size,\n"
            "          allowed_buckets (of Vertex AI's requests), shutdown_timeout_s"
        ),
        examples=(
            "beamtune serve runs/first",
            "beamtune serve exports/first port=9000 min_confidence=0.5",
            "beamtune serve gs://my-bucket/exports/first host=0.0.0.0 token_file=token.txt",
        ),
        run=_serve,
        extras=("serve", "train"),
        paths_usage="RUN_OR_EXPORT",
        decodes_audio=True,
    ),
    Command(
        name="compare",
        summary="show several runs in one table: accuracies with confidence intervals, sizes and training times",
        description=(
            "Prints a row for each run of train or baselines, and for each folder of crossval: model, input, split,\n"
            "accuracy of segments and of tracks (by mean probability, and by majority vote), macro-F1, number of\n"
            "parameters and training time. Rows with a leaky split are marked. A folder stands for all that is\n"
            "finished below it.\n\n"
            "settings: split=test|validation|train, sort=given|model|accuracy|macro_f1|parameters|duration,\n"
            "          output.markdown, output.csv (files to write)"
        ),
        examples=(
            "beamtune compare runs/first runs/second",
            "beamtune compare runs sort=accuracy",
            "beamtune compare runs/* sort=accuracy output.markdown=comparison.md output.csv=comparison.csv",
        ),
        run=_compare,
        paths_usage="RUN…",
    ),
    Command(
        name="runs",
        summary="list runs, searches, cross-validations and prepared data below a folder, with state and score",
        description=(
            "Prints a row for each of them: finished, interrupted, running or damaged; the accuracy of tracks, or the\n"
            "best objective of a search; size and age. For those that were interrupted it prints the command that\n"
            "continues. Without a folder, it is the current one.\n\n"
            "settings: sort=path|updated|score|size"
        ),
        examples=(
            "beamtune runs",
            "beamtune runs runs sort=score",
            "beamtune runs gs://my-bucket/runs --json",
        ),
        run=_runs,
        paths_usage="[FOLDER]",
        output_formats=("json", "csv"),
    ),
    Command(
        name="tensorboard",
        summary="show runs in the browser: curves, confusion matrix, audio of wrong predictions, embeddings, settings",
        description=(
            "Starts TensorBoard on runs, or on folders of runs, and prints its address. By default it accepts\n"
            "connections from this machine only. Ctrl-C stops it.\n\n"
            "settings: port, host"
        ),
        examples=(
            "beamtune tensorboard runs",
            "beamtune tensorboard runs/first runs/second port=6007",
        ),
        run=_tensorboard,
        extras=("train",),
        paths_usage="RUNS…",
    ),
)
