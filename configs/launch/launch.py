"""`beamtune launch TARGET COMMAND …`: checks a command here, and starts the job that runs it, once."""

import json
from dataclasses import asdict
from typing import TextIO

import yaml

from configs.launch.dialogue import ask, say
from configs.launch.history import LaunchedJob, remember
from configs.launch.identity import identify
from configs.launch.plan import Plan, describe_plan
from configs.launch.service import Job, JobService


def show_request(plan: Plan, *, as_json: bool, stream: TextIO) -> None:
    """Prints the request that would be sent, and to standard error what is worth saying of it. Needs no network.

    The label `beamtune-launch` is made from the settings alone: the data are not read.
    """
    request = {
        "parent": f"projects/{plan.config.project}/locations/{plan.config.region}",
        "customJob": plan.job(identify(plan.launched, data_key=None)),
    }
    say(describe_plan(plan))
    if as_json:
        print(json.dumps(request, indent=2), file=stream)
    else:
        yaml.safe_dump(request, stream, sort_keys=False, allow_unicode=True, width=1_000)


def submit(plan: Plan, *, data_key: str | None, assume_yes: bool, stream: TextIO, as_json: bool = False) -> None:
    """Starts a job, unless the same one runs or has succeeded; asks before, on a terminal.

    Args:
        plan: The job.
        data_key: The cache key of its prepared data; None if it reads none.
        assume_yes: Whether not to ask.
        stream: Where its name is printed.
        as_json: Whether the job is printed as JSON, with `is_new`.

    Raises:
        UserError: The service refuses it, or nobody could be asked.
        RunAgainError: The service could not be reached until the deadline.
    """
    config, identity = plan.config, identify(plan.launched, data_key=data_key)
    service = JobService(
        project=config.project,
        region=config.region,
        api_endpoint=config.api_endpoint,
        retry_deadline_s=config.retry_deadline_s,
    )
    before = service.list_jobs(identity)
    same = next((job for job in before if job.is_kept), None)
    if same is not None and not config.again:
        _remember(plan, same)
        line = (
            f"{same.name} ({same.state}, created {same.created}) has the same command, settings and data: it is not "
            "started again; launch.again=true starts another one"
        )
        print(_json(same, is_new=False) if as_json else line, file=stream)
        return
    say(describe_plan(plan))
    if not assume_yes:
        ask(f"start {identity.display_name} in {config.project}?")
    job = service.create_job(plan.job(identity), identity=identity, known=frozenset(job.name for job in before))
    _remember(plan, job)
    print(_json(job, is_new=True) if as_json else f"{job.name} ({job.state})", file=stream)
    say(
        [
            f"https://console.cloud.google.com/vertex-ai/locations/{config.region}/training/{job.job_id}"
            f"?project={config.project}",
            "beamtune launch status last, beamtune launch logs last, beamtune launch cancel last",
        ]
    )


def _json(job: Job, *, is_new: bool) -> str:
    return json.dumps({**asdict(job), "is_new": is_new}, indent=2)


def _remember(plan: Plan, job: Job) -> None:
    remember(LaunchedJob(job.name, plan.config.project, plan.config.region, plan.config.api_endpoint))
