"""Whether the run or the export of a server is there and finished, and what its files are known by."""

from collections.abc import Mapping

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from configs.bucket_paths import check_buckets
from configs.launch.serving.served import Served, key_of
from trainer.runs.run_dir import CONFIG_FILE, METRICS_FILE

# Written last: an export without the first, or a run without the second, is not finished.
_EXPORT_FILE, _FINISHED_FILE = "export.json", "_SUCCESS"
# Of a run: what is written to it later, and what no server reads.
_NOT_SERVED = ("train/", "validation/", "predictions-", "evaluate-", METRICS_FILE, *LEASE_FILES)


def files_key(served: Served) -> str:
    """Returns what the files of a model are known by: their names, sizes and checksums.

    Raises:
        UserError: The bucket cannot be accessed, or the model is not there or not finished.
        RunAgainError: The bucket could not be reached until the deadline.
    """
    if not is_installed():
        raise UserError("launch looks into the buckets first: pip install 'beamtune[launch]'")
    check_buckets(served.config, paths=[served.directory], dry_run=True)
    files = bucket_objects.list_checksums(served.directory)
    _check_finished(files, served.directory)
    return key_of({name: known for name, known in files.items() if not name.startswith(_NOT_SERVED)})


def _check_finished(files: Mapping[str, str], directory: str) -> None:
    if not files:
        raise UserError(f"{directory}: there is nothing: beamtune sync copies files there")
    if _EXPORT_FILE in files or {CONFIG_FILE, _FINISHED_FILE} <= files.keys():
        return
    if CONFIG_FILE in files:
        raise UserError(f"{directory} is a run that is not finished: the same beamtune train resumes it")
    raise UserError(f"{directory} is no run and no finished export: expected what beamtune train or export has written")
