"""What was launched from this machine, so that `last`, a number or a name is enough to find it."""

import json
import os
import re
from dataclasses import asdict, dataclass

from beam_pipelines.common.cache import cache_dir
from beam_pipelines.common.cloud_names import PROJECT, REGION
from beam_pipelines.common.errors import UserError

LAST = "last"
_FILE = "launched-jobs.jsonl"
_MAX_BYTES = 1 << 20
JOBS, ENDPOINTS, SERVICES = "customJobs", "endpoints", "services"
_NAME = re.compile(
    rf"projects/(?P<project>{PROJECT.pattern}|[0-9]+)/locations/(?P<region>{REGION.pattern})/"
    r"(?P<end>customJobs/[0-9]{1,20}|(endpoints|services)/[a-z0-9][-a-z0-9]{0,62})"
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
        project: Its project: what was launched in others is not looked at; None where it is not given.
        region: Its region, for a number that is not in the file.

    Raises:
        UserError: The word names no job, or several servers.
    """
    known = [job for job in _read() if project in (None, job.project)]
    if word == LAST:
        if not known:
            where = "" if project is None else f" in {project}"
            raise UserError(
                f"{LAST}: no job or server was launched from this machine{where}: beamtune launch list shows those of "
                "a project"
            )
        return known[-1]
    match = _NAME.fullmatch(word)
    found = {job.name: job for job in known if _is_named(job, word, match)}
    if len(found) > 1 and match is None:
        raise UserError(f"{word} is {' and '.join(found)}: give the full name")
    if found:
        return list(found.values())[-1]
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


def _is_named(job: LaunchedJob, word: str, match: re.Match[str] | None) -> bool:
    """Returns whether a word, or a full name that it matches, names a job; the project may be its id or its number."""
    if match is None:
        return job.name.endswith(f"/{word}")
    is_same = job.region == match["region"] and job.name.endswith(f"/{match['end']}")
    return is_same and (job.project == match["project"] or job.name == word)


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
