"""The jobs of a project and region on Vertex AI, by Google's own client over HTTPS, imported when it is used."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.launch.identity import LAUNCH_LABEL, JobIdentity
from configs.launch.requests import OPTIONS, Requests, vertex_endpoint

SUCCEEDED = "SUCCEEDED"
RUNNING_STATES = ("QUEUED", "PENDING", "RUNNING", "UPDATING", "PAUSED", "CANCELLING")
# In which a job needs not be started again.
_KEPT_STATES = (*(state for state in RUNNING_STATES if state != "CANCELLING"), SUCCEEDED)
_PAGE = 100
_MAX_JOBS = 1000


@dataclass(frozen=True)
class Job:
    """A custom job, as the service knows it.

    Attributes:
        name: projects/<number or id>/locations/<region>/customJobs/<id>.
        display_name: The name in the console.
        state: QUEUED, PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED, …
        created: When it was created, in ISO 8601; "" if this is not known. Likewise `started` and `ended`.
        started: When its machines began.
        ended: When it ended.
        error: Why it failed; "" if it has not.
        labels: Its labels.
        machines: Its machines, such as "1 n2-standard-4, 2 g2-standard-8".
    """

    name: str
    display_name: str
    state: str
    created: str
    started: str
    ended: str
    error: str
    labels: Mapping[str, str]
    machines: str

    @property
    def job_id(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def is_kept(self) -> bool:
        """Whether it waits, runs or has succeeded."""
        return self.state in _KEPT_STATES


class JobService:
    """Requests to the service. Each is repeated for some time while it cannot be reached; each failure is one line."""

    def __init__(self, *, project: str, region: str, api_endpoint: str | None, retry_deadline_s: float) -> None:
        """Sends nothing yet.

        Args:
            project: The project of the jobs.
            region: Their region.
            api_endpoint: The address of the service; None is that of the region.
            retry_deadline_s: How long a request is repeated, in seconds.
        """
        self._parent = f"projects/{project}/locations/{region}"
        self._requests = Requests(
            project=project,
            endpoint=vertex_endpoint(region, api_endpoint),
            retry_deadline_s=retry_deadline_s,
        )

    def job_name(self, job_id: str) -> str:
        """Returns the full name of a job."""
        return f"{self._parent}/customJobs/{job_id}"

    def list_jobs(self, identity: JobIdentity | None = None) -> list[Job]:
        """Returns jobs that beamtune has launched, the newest first, at most 1,000.

        Args:
            identity: Only those that are known by it; None for all.
        """
        return self._requests.call(lambda: self._list(identity), what=f"the jobs of {self._parent}")

    def get_job(self, name: str) -> Job:
        """Returns a job by its full name."""
        return self._requests.call(
            lambda: _job(self._client.get_custom_job(name=name, **OPTIONS)), what=f"the job {name}"
        )

    def cancel_job(self, name: str) -> None:
        """Asks the service to cancel a job."""
        self._requests.call(lambda: self._client.cancel_custom_job(name=name, **OPTIONS), what=f"the job {name}")

    def create_job(self, content: Mapping[str, Any], *, identity: JobIdentity, known: frozenset[str]) -> Job:
        """Creates a job. After an attempt without an answer it looks for the job before it tries again.

        Args:
            content: The CustomJob in the JSON form of the API.
            identity: What it is known by; its labels say so.
            known: The names of the jobs with the same identity that were there before.
        """
        from google.protobuf import json_format

        custom_job = self._module.CustomJob()
        json_format.ParseDict(dict(content), self._module.CustomJob.pb(custom_job))
        attempts = 0

        def attempt() -> Job:
            nonlocal attempts
            attempts += 1
            made = [job for job in self._list(identity) if job.name not in known] if attempts > 1 else []
            if made:
                return made[0]
            return _job(self._client.create_custom_job(parent=self._parent, custom_job=custom_job, **OPTIONS))

        return self._requests.call(attempt, what=f"the job {content['displayName']} in {self._parent}")

    def _list(self, identity: JobIdentity | None) -> list[Job]:
        # Filters as in the examples of the documentation, where no label has a hyphen: labels are compared here.
        wanted = 'display_name:"beamtune-*"' if identity is None else f'display_name="{identity.display_name}"'
        request = {"parent": self._parent, "filter": wanted, "page_size": _PAGE}
        found = self._client.list_custom_jobs(request=request, **OPTIONS)
        jobs = [job for job in map(_job, islice(found, _MAX_JOBS)) if _is_of(job, identity)]
        return sorted(jobs, key=lambda job: job.created, reverse=True)

    @cached_property
    def _module(self) -> Any:
        # `from google.cloud import …` would not name what is missing where other packages of google.cloud are there.
        return importlib.import_module("google.cloud.aiplatform_v1")

    @cached_property
    def _client(self) -> Any:
        return self._requests.client(self._module.JobServiceClient)


def _is_of(job: Job, identity: JobIdentity | None) -> bool:
    key = job.labels.get(LAUNCH_LABEL)
    return key is not None if identity is None else key == identity.key


def _job(message: Any) -> Job:
    """Returns what is shown of a CustomJob of the client."""
    if not message.name:
        raise UserError("Vertex AI has answered without a job: is launch.api_endpoint the address of the service?")
    pools = message.job_spec.worker_pool_specs
    return Job(
        name=message.name,
        display_name=message.display_name,
        state=message.state.name.removeprefix("JOB_STATE_"),
        created=_time(message.create_time),
        started=_time(message.start_time),
        ended=_time(message.end_time),
        error=message.error.message,
        labels=dict(message.labels),
        machines=", ".join(f"{pool.replica_count} {pool.machine_spec.machine_type}" for pool in pools),
    )


def _time(value: Any) -> str:
    return "" if value is None else str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))
