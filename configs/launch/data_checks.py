"""Whether what a command reads is there and complete, before machines are paid for that would find it out.

Buckets are read with one's own account, and nothing is written: the job has an account of its own for that.
"""

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket
from configs.bucket_paths import check_buckets
from configs.compose import compose, to_dataclass
from configs.launch.launched import PREDICT, TRAIN, Launched
from configs.resume import settings_to_resume
from trainer.common.files import expand_pattern
from trainer.data.prepared import PreparedData, open_prepared
from trainer.runs.run_dir import RunDir
from trainer.training.config import KEYS_THAT_MAY_DIFFER, TrainConfig


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
    runs = [*launched.paths[:1], *(path for key, path in launched.values(one.read) if key == "run_dir")]
    for run in runs:
        if not any(bucket_objects.exists(f"{run.rstrip('/')}/{name}") for name in ("config.yaml", "export.json")):
            raise UserError(f"{run} is no run: expected what beamtune train has written")
    paths = [path for _, path in launched.values(one.data)] or [_data_of(run) for run in runs if one.data]
    data = [open_prepared(path) for path in paths]
    if launched.name == TRAIN:
        _check_run_to_resume(launched, data[0])
    return data[0].cache_key if data else None


def _check_run_to_resume(launched: Launched, data: PreparedData) -> None:
    """Raises a UserError if run_dir has a run with other settings or data, or something else than a run."""
    run = RunDir(launched.config.run_dir)
    if not run.is_started():
        run.check_is_empty()
        return
    settings = settings_to_resume(TRAIN, run.config(), settings=launched.words)
    config: TrainConfig = to_dataclass(compose(TRAIN, settings))  # type: ignore[assignment]
    run.check_same_config(config, may_differ=KEYS_THAT_MAY_DIFFER)
    run.check_same_data(data)


def _data_of(run: str) -> str:
    """Returns the prepared data of a run, which a command reads that is given no others."""
    data_dir: str = RunDir(run).config()["data_dir"]
    if not is_in_bucket(data_dir):
        raise UserError(
            f"{run} was trained on {data_dir}, which the job does not reach: copy it with beamtune sync {data_dir} "
            "gs://BUCKET/…, and set data_dir to the copy"
        )
    return data_dir
