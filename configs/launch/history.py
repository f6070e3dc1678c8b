"""What was launched from this machine, so that `last`, a number or a name is enough to find it."""

import json
import os
import re
from dataclasses import asdict, dataclass

from beam_pipelines.common.cache import cache_dir
from beam_pipelines.common.errors import UserError

LAST = "last"
_FILE = "launched-jobs.jsonl"
_MAX_BYTES = 1 << 20
JOBS, ENDPOINTS, SERVICES = "customJobs", "endpoints", "services"
_NAME = re.compile(
    r"projects/(?P<project>[^\s/]+)/locations/(?P<region>[^\s/]+)/"
    r"(?P<end>customJobs/\d{1,20}|(endpoints|services)/[a-z0-9][-a-z0-9]{0,62})"
)


@dataclass(frozen=True)
class LaunchedJob:
    """A job that was launched, or a server: an endpoint of Vertex AI or a service of Cloud Run.

    Attributes:
        name: Its full name.
        project: The id of its project; the full name may have its number.
        region: Its region.
        api_endpoint: The address of the service; None is that of the region.
    """

    name: str
    project: str
    region: str
    api_endpoint: str | None = None

    @property
    def kind(self) -> str:
        """customJobs, endpoints or services."""
        return self.name.split("/")[-2]


def remember(job: LaunchedJob) -> None:
    """Adds a job to the file in the cache folder; a folder that cannot be written to is no error."""
    try:
        os.makedirs(cache_dir(), exist_ok=True)
        with open(_path(), "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(job)) + "\n")
    except OSError:
        return


def find_job(word: str, *, project: str | None, region: str | None) -> LaunchedJob:
    """Returns the job that a word names.

    Args:
        word: "last", the number of a job, the name of an endpoint or service that was launched here, or a full name.
        project: Its project, for a number that is not in the file; None where it is not given.
        region: Its region, likewise.

    Raises:
        UserError: The word names no job.
    """
    known = _read()
    if word == LAST:
        if not known:
            raise UserError(
                f"{LAST}: no job was launched from this machine: beamtune launch list shows those of a project"
            )
        return known[-1]
    match = _NAME.fullmatch(word)
    end = f"/{word}" if match is None else f"/{match['end']}"
    for job in reversed(known):
        if job.name.endswith(end):
            return job
    if match is not None:
        return LaunchedJob(name=word, project=project or match["project"], region=match["region"])
    if not re.fullmatch(r"\d{1,20}", word, re.ASCII):
        raise UserError(
            f"{word!r} is no job: expected {LAST}, or the number of a job, which beamtune launch list shows; or the "
            "full name of an endpoint or a service, if it was not launched from this machine"
        )
    if project is None or region is None:
        raise UserError(f"the job {word} was not launched from this machine: add launch.project=… and launch.region=…")
    return LaunchedJob(f"projects/{project}/locations/{region}/{JOBS}/{word}", project, region)


def _read() -> list[LaunchedJob]:
    """Returns the jobs in the file, the last one at the end; lines that are damaged are left out."""
    try:
        with open(_path(), encoding="utf-8", errors="replace") as file:
            file.seek(max(0, os.path.getsize(_path()) - _MAX_BYTES))
            lines = file.read(_MAX_BYTES).splitlines()
    except OSError:
        return []
    return [job for job in map(_parse, lines) if job is not None]


def _parse(line: str) -> LaunchedJob | None:
    try:
        content = json.loads(line)
        job = LaunchedJob(**content)
    except (ValueError, TypeError, RecursionError):
        return None
    is_text = isinstance(job.api_endpoint, str | None) and isinstance(job.project, str) and isinstance(job.region, str)
    return job if is_text and isinstance(job.name, str) and _NAME.fullmatch(job.name) else None


def _path() -> str:
    return os.path.join(cache_dir(), _FILE)
