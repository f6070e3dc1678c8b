"""Whether what a command reads is there and complete, before machines are paid for that would find it out."""

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.errors import UserError
from configs.bucket_paths import check_buckets
from configs.launch.launched import PREDICT, Launched
from trainer.common.files import expand_pattern
from trainer.data.prepared import open_prepared


def check_data(launched: Launched) -> str | None:
    """Checks that buckets can be accessed, and that data sets and runs are there and finished.

    Returns:
        The cache key of the prepared data, which changes whenever their content does; None if the command reads none.

    Raises:
        UserError: A bucket cannot be accessed, something is missing, or a data set is not finished.
        RunAgainError: A bucket could not be reached until the deadline.
    """
    if not is_installed():
        raise UserError("launch looks into the buckets first: pip install 'beamtune[launch]'")
    one = launched.launchable
    # The job writes as an account of its own: here it is only looked at whether the buckets of its output are there.
    check_buckets(launched.config, paths=launched.paths, dry_run=True)
    check_access(read=[path for _, path in launched.values(one.written)])
    for key, path in launched.values(one.read):
        if not bucket_objects.exists(path):
            raise UserError(f"{key}={path}: there is nothing: beamtune sync copies files there")
    for path in launched.paths[1:] if launched.name == PREDICT else ():
        if not bucket_objects.exists(expand_pattern(path)[0]):
            raise UserError(f"{path}: there is no such file or folder: beamtune sync copies files there")
    for run in [*launched.paths[:1], *(path for key, path in launched.values(one.read) if key == "run_dir")]:
        if not any(bucket_objects.exists(f"{run.rstrip('/')}/{name}") for name in ("config.yaml", "export.json")):
            raise UserError(f"{run} is no run: expected what beamtune train has written")
    keys = [open_prepared(path).cache_key for _, path in launched.values(one.data)]
    return keys[0] if keys else None
