"""`beamtune launch status|logs|cancel|remove|list`: what became of jobs and servers."""

import sys

from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from configs.command import Invocation
from configs.compose import compose, settings_of
from configs.launch import jobs
from configs.launch.history import JOBS, find_job
from configs.launch.serving import servers
from configs.launch.serving.options import CLOUD_RUN, VERTEX_SERVE


def look(invocation: Invocation) -> int:
    """Does what the first word says; returns the exit code.

    Raises:
        UserError: A word names nothing, or nothing that this can be done with; or the service refuses it.
    """
    action, *rest = invocation.paths
    if len(rest) != (0 if action == "list" else 1):
        needs = "no job" if action == "list" else "one job or server: its number or name, or last"
        raise UserError(f"launch {action} takes {needs}: got {' '.join(rest) or 'none'}")
    settings = OmegaConf.to_container(compose("launch", invocation.overrides))
    assert isinstance(settings, dict)
    place = jobs.place_of(settings["launch"])
    if action == "list":
        _list(place, settings_of(invocation.overrides).get("launch"), invocation.output_format)
        return 0
    found = find_job(rest[0], project=place.project, region=place.region)
    is_server = found.kind != JOBS
    if is_server and action == "cancel":
        raise UserError(f"{found.name} is a server: beamtune launch remove {rest[0]} ends it")
    if not is_server and action == "remove":
        raise UserError(f"{found.name} is a job: beamtune launch cancel {rest[0]} ends it")
    if action == "status":
        show = servers.show_status if is_server else jobs.show_status
        return show(found, place, output_format=invocation.output_format, stream=sys.stdout)
    if action == "logs":
        (servers.show_logs if is_server else jobs.show_logs)(found, stream=sys.stdout)
    elif action == "cancel":
        jobs.cancel(found, place, stream=sys.stdout)
    else:
        servers.remove_server(
            found, place, dry_run=invocation.dry_run, assume_yes=invocation.assume_yes, stream=sys.stdout
        )
    return 0


def _list(place: jobs.Place, option: str | None, output_format: str) -> None:
    if place.project is None:
        raise UserError("launch.project is not set: give launch.project=…")
    if option in (VERTEX_SERVE, CLOUD_RUN):
        is_vertex = option == VERTEX_SERVE
        servers.list_servers(place, is_vertex=is_vertex, output_format=output_format, stream=sys.stdout)
    else:
        jobs.list_jobs(place, output_format=output_format, stream=sys.stdout)
