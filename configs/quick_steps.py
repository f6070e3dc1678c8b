"""The steps of `beamtune quick`: prepare, cross-validate, fit, export and report."""

import io
import shlex
import sys
from importlib import import_module
from typing import TextIO

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import Lease, holding
from beam_pipelines.common.output_streams import visible_line
from trainer.quick.config import QuickConfig
from trainer.quick.quick_dir import QuickDir


def run_quick(config: QuickConfig, *, stream: TextIO) -> None:
    """Carries out the steps that are not finished, and prints a table.

    Args:
        config: The settings.
        stream: Where the table goes.

    Raises:
        UserError: The music, the folder of the results or a setting is wrong, or another command writes there.
        RunFailedError: Too many files cannot be used, or a file of a step is damaged.
    """
    from trainer.quick.summary import print_summary

    directory = QuickDir(config.output_dir)
    directory.check(config)
    if directory.is_finished():
        print(f"{directory.path} is finished already: for other songs, choose another output_dir", file=stream)
    else:
        with holding(directory.path, key="output_dir") as lease:
            directory.start(config)
            _run_steps(directory, config, lease=lease)
            lease.check()
            directory.mark_finished()
    print_summary(directory, stream=stream)


def _run_steps(directory: QuickDir, config: QuickConfig, *, lease: Lease) -> None:
    from beam_pipelines.prepare.pipeline import prepare
    from trainer.quick.learn import learn

    # A package that the last steps need and that is not installed is found here, before hours of work.
    for module in ("trainer.export.export", "trainer.report.report"):
        import_module(module)
    _log("1/5 prepare: embeddings of the songs")
    prepare(config.prepare_config(directory.prepared))
    learn(directory, config, log=_log, check_owner=lease.check)
    _export(directory, config)
    _report(directory, config)


def _export(directory: QuickDir, config: QuickConfig) -> None:
    from trainer.common import files
    from trainer.evaluation.export_files import REPORT_FILE
    from trainer.export.config import ExportConfig
    from trainer.export.export import export

    if files.exists(files.join(directory.export, REPORT_FILE)):
        _log("4/5 export: finished before")
        return
    _log(f"4/5 export: {', '.join(config.formats)}, written and compared with predict")
    settings = ExportConfig(output_dir=directory.export, formats=config.formats, storage=config.storage)
    try:
        export(directory.run, settings, stream=io.StringIO())
    except RunFailedError as error:  # the run does without it, as predict and serve do
        command = shlex.join(["beamtune", "export", directory.run, f"output_dir={directory.export}"])
        _log(f"note: no export: {visible_line(str(error))}; later: {command}")


def _report(directory: QuickDir, config: QuickConfig) -> None:
    from configs.saved_command import saved_command
    from trainer.common import files
    from trainer.crossval.file_names import RESULT_FILE
    from trainer.report.config import ReportConfig
    from trainer.report.report import report

    if not files.exists(files.join(directory.crossval, RESULT_FILE)):
        _log("5/5 report: none without scores")
        return
    _log("5/5 report: the scores of the cross-validation")
    settings = ReportConfig(output_dir=directory.report, storage=config.storage)
    report(directory.crossval, settings, to_command=saved_command, stream=io.StringIO())


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
