"""`beamtune launch status|logs|cancel|list` for jobs: what became of them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from configs.launch.config import check_place
from configs.launch.history import LaunchedJob
from configs.launch.service import RUNNING_STATES, JobService


@dataclass(frozen=True)
class Place:
    """Where jobs are looked for.

    Attributes:
        project: The project; None where it is not given.
        region: The region.
        api_endpoint: The address of the service; None is that of the region.
        retry_deadline_s: How long a request is repeated, in seconds.
    """

    project: str | None
    region: str
    api_endpoint: str | None
    retry_deadline_s: float


def place_of(launch: Mapping[str, Any]) -> Place:
    """Returns the place in the settings `launch.*`, of which others may be missing."""
    project = None if launch["project"] == MISSING else str(launch["project"])
    place = Place(project, launch["region"], launch["api_endpoint"], launch["retry_deadline_s"])
    check_place(project, place.region, place.api_endpoint)
    return place


def list_jobs(place: Place, *, output_format: str, stream: TextIO) -> None:
    """Prints the jobs that beamtune has launched in a project and region, the newest first."""
    service = _service(LaunchedJob("", place.project or "", place.region, place.api_endpoint), place)
    jobs = service.list_jobs()
    if output_format == "json":
        print(json.dumps([asdict(job) for job in jobs], indent=2), file=stream)
        return
    console = make_console(stream)
    title = f"jobs in {place.project}, {place.region}"
    table = TextTable(title, *("job", "name", "state", "created", "machines"), text=["name", "state", "machines"])
    for job in jobs:
        table.add_row(job.job_id, job.display_name, job.state, job.created, job.machines)
    console.print(table)


def show_status(found: LaunchedJob, place: Place, *, output_format: str, stream: TextIO) -> int:
    """Prints a job; returns 1 if it has failed, and 0 otherwise."""
    job = _service(found, place).get_job(found.name)
    if output_format == "json":
        print(json.dumps(asdict(job), indent=2), file=stream)
    else:
        console = make_console(stream)
        table = TextTable(job.name, "what", "value", text=["value"])
        for key in ("display_name", "state", "created", "started", "ended", "machines", "error"):
            value = getattr(job, key)
            if value:
                table.add_row(key, value)
        console.print(table)
    return 1 if job.state in ("FAILED", "EXPIRED") else 0


def show_logs(job: LaunchedJob, *, stream: TextIO) -> None:
    """Prints the commands of gcloud that print the log of a job: beamtune installs no client of Cloud Logging."""
    number = job.name.rpartition("/")[2]
    console = make_console(stream)
    print_line(console, "# while it runs:")
    print_line(console, f"gcloud ai custom-jobs stream-logs {number} --project={job.project} --region={job.region}")
    print_line(console, "# afterwards:")
    print_line(
        console,
        f'gcloud logging read \'resource.type="ml_job" AND resource.labels.job_id="{number}"\' '
        f"--project={job.project} --order=asc --freshness=30d "
        "--format='value(timestamp,jsonPayload.message,textPayload)'",
    )


def cancel(found: LaunchedJob, place: Place, *, stream: TextIO) -> None:
    """Cancels a job that has not ended."""
    service = _service(found, place)
    job = service.get_job(found.name)
    if job.state not in RUNNING_STATES:
        raise UserError(f"{job.name} has ended: it is {job.state}")
    service.cancel_job(found.name)
    print(
        f"{job.name} is being cancelled; what it has saved is kept, and the same launch starts a job that resumes it",
        file=stream,
    )


def _service(job: LaunchedJob, place: Place) -> JobService:
    return JobService(
        project=job.project,
        region=job.region,
        api_endpoint=place.api_endpoint or job.api_endpoint,
        retry_deadline_s=place.retry_deadline_s,
    )
