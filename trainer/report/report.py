"""`beamtune report`: a page and a JSON file about a run, a cross-validation, a search or a folder of baselines."""

import json
from typing import TextIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.common.output_streams import visible_line
from trainer.common import files
from trainer.common.output_folder import check_output_dir, directory_name, write_texts
from trainer.crossval.file_names import RESULT_FILE, SETTINGS_FILE
from trainer.report.clips import Clips, read_clips
from trainer.report.collected import Collected
from trainer.report.config import REPORTED, ReportConfig
from trainer.report.crossval_content import collect_crossval
from trainer.report.page import render_page
from trainer.report.provenance import ToCommand
from trainer.report.run_content import collect_baselines, collect_run
from trainer.report.search_content import collect_search
from trainer.runs.run_dir import RunDir
from trainer.tuner.search_dir import SearchDir

PAGE_FILE, NUMBERS_FILE = "index.html", "report.json"


def report(path: str, config: ReportConfig, *, to_command: ToCommand, stream: TextIO) -> None:
    """Writes the page and its numbers, and prints what was found.

    The same files, settings and library versions give the same page, byte for byte.

    Args:
        path: A directory of train, baselines, crossval or tune, local or gs://.
        config: The settings.
        to_command: Returns the command line of saved settings.
        stream: Where the summary is printed.

    Raises:
        UserError: It is none, is not finished or is damaged, or the output cannot be written.
    """
    try:
        collected = _collect(path, config, to_command=to_command)
    except files.FileError as error:
        raise UserError(f"{path} cannot be read: {error.message}") from error
    output_dir = files.join("report", directory_name(path)) if config.output_dir is None else config.output_dir
    check_output_dir(output_dir, written=NUMBERS_FILE, command="report")
    with holding(output_dir, key="output_dir") as lease:
        clips = read_clips(collected.track_ids, data=collected.data, duration_s=config.excerpt_duration_s)
        text = _to_json(collected, clips)
        page = render_page(json.loads(text), excerpts=clips.excerpts)
        lease.check()
        write_texts(output_dir, {NUMBERS_FILE: text, PAGE_FILE: page})
    if collected.content["leak"] is not None:
        print(f"note: scores are too high: {collected.content['leak']}", file=stream)
    for note in collected.content["contamination"]:
        print(f"note: {visible_line(note)}", file=stream)
    for sentence in collected.content["sentences"]:
        print(visible_line(sentence), file=stream)
    for caution in collected.content["cautions"]:
        print(f"note: {visible_line(caution)}", file=stream)
    if clips.problem is not None:
        print(f"note: the page has no audio: {clips.problem}", file=stream)
    print(f"{files.join(output_dir, PAGE_FILE)}: the page", file=stream)
    print(f"{files.join(output_dir, NUMBERS_FILE)}: its numbers", file=stream)


def _collect(path: str, config: ReportConfig, *, to_command: ToCommand) -> Collected:
    if files.exists(files.join(path, RESULT_FILE)) or files.exists(files.join(path, SETTINGS_FILE)):
        return collect_crossval(path, config, to_command=to_command)
    if SearchDir(path).is_started():
        return collect_search(path, config, to_command=to_command)
    run = RunDir(path)
    if run.is_started():
        return collect_run(run, config, to_command=to_command)
    collected = collect_baselines(path, config, to_command=to_command)
    if collected is None:
        missing = "is no run" if files.exists(path) else "does not exist"
        raise UserError(f"{path} {missing}: expected {REPORTED}")
    return collected


def _to_json(collected: Collected, clips: Clips) -> str:
    content = {**collected.content, "clips": clips.to_json(), "clips_problem": clips.problem}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
