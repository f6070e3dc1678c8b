"""`beamtune launch status|logs|list|remove` for servers: endpoints of Vertex AI and services of Cloud Run."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from configs.launch.dialogue import ask, say
from configs.launch.history import ENDPOINTS, LaunchedJob
from configs.launch.jobs import Place
from configs.launch.serving.cloud_run import CloudRun, check_ours
from configs.launch.serving.endpoints import Endpoints, is_ours, shares_of
from configs.launch.serving.traffic import without


def list_servers(place: Place, *, is_vertex: bool, output_format: str, stream: TextIO) -> None:
    """Prints the servers that beamtune has made in a project and region."""
    server = LaunchedJob("", place.project or "", place.region, place.api_endpoint)
    if is_vertex:
        endpoints = _connect(Endpoints, server, place).list_endpoints()
        rows = [_endpoint_content(one, None) for one in endpoints]
    else:
        service = _connect(CloudRun, server, place)
        rows = [_service_content(one, service) for one in service.list_services()]
    if output_format == "json":
        print(json.dumps(rows, indent=2), file=stream)
        return
    console = make_console(stream)
    table = TextTable(f"servers in {place.project}, {place.region}", "name", "state", "created", text=["state"])
    for row in rows:
        table.add_row(row["name"].rpartition("/")[2], row["state"], row["created"])
    console.print(table)


def show_status(server: LaunchedJob, place: Place, *, output_format: str, stream: TextIO) -> int:
    """Prints a server; returns 1 if it does not exist or answers no requests and is not being changed, otherwise 0."""
    content = _content(server, place)
    if content is None:
        say([f"{server.name} does not exist: it was removed, or not made yet"])
        return 1
    if output_format == "json":
        print(json.dumps(content, indent=2), file=stream)
    else:
        console = make_console(stream)
        table = TextTable(content["name"], "what", "value", text=["value"])
        for key, value in content.items():
            if key not in ("name", "deployments") and value:
                table.add_row(key, str(value))
        for one in content.get("deployments", []):
            table.add_row(
                f"deployment {one['id']}",
                f"{one['traffic']} % of the requests, {one['replicas']} {one['machine']}, {one['model']}",
            )
        console.print(table)
    return 0 if content["state"] in ("READY", "CHANGING") else 1


def show_logs(server: LaunchedJob, *, stream: TextIO) -> None:
    """Prints the command of gcloud that prints the log of a server."""
    server_id = server.name.rpartition("/")[2]
    resource = (
        f'resource.type="aiplatform.googleapis.com/Endpoint" AND resource.labels.endpoint_id="{server_id}"'
        if server.kind == ENDPOINTS
        else f'resource.type="cloud_run_revision" AND resource.labels.service_name="{server_id}"'
    )
    print_line(
        make_console(stream),
        f"gcloud logging read '{resource}' --project={server.project} --order=asc --freshness=1d "
        "--format='value(timestamp,jsonPayload.event,jsonPayload.message,textPayload)'",
    )


def remove_server(server: LaunchedJob, place: Place, *, dry_run: bool, assume_yes: bool, stream: TextIO) -> None:
    """Removes a server and what was made for it; what is gone already is passed over.

    Raises:
        UserError: It is not one of beamtune's, the service refuses it, or nobody could be asked.
    """
    steps = _endpoint_steps(server, place) if server.kind == ENDPOINTS else _service_steps(server, place)
    if not steps:
        print(f"{server.name} does not exist, and nothing is left of it", file=stream)
        return
    if dry_run:
        print("\n".join(steps), file=stream)
        return
    say(list(steps))
    if not assume_yes:
        ask(
            f"remove {server.name.rpartition('/')[2]} in {server.project}?",
            about="to remove a server that may be in use",
            otherwise="nothing was removed",
        )
    for line, step in steps.items():
        step()
        print(f"done: {line}", file=stream)


def _endpoint_steps(server: LaunchedJob, place: Place) -> Mapping[str, Callable[[], None]]:
    """Returns what has to be done to remove an endpoint, by a line that says it, in the right order.

    The endpoint is the last: what is left after an interruption is found by it.
    """
    service = _connect(Endpoints, server, place)
    endpoint = service.find_endpoint(server.name)
    models = service.models_of(server.name.rpartition("/")[2])
    ours = {model.name.rpartition("/")[2] for model in models}
    deployed = [] if endpoint is None else list(endpoint.deployed_models)
    # By their ids: the project is written as its id or as its number.
    to_end = [one for one in deployed if one.model.partition("@")[0].rpartition("/")[2] in ours]
    steps: dict[str, Callable[[], None]] = {}
    for one in to_end:
        steps[f"undeploy {one.id} ({one.display_name}) from {server.name}"] = _undeploying(service, server.name, one.id)
    for model in models:
        steps[f"delete the model {model.name}"] = _deleting(service, model.name)
    if endpoint is None:
        return steps
    if len(to_end) < len(deployed):
        say([f"note: {server.name} stays: deployments that were not made by beamtune are on it"])
    elif not is_ours(endpoint.labels):
        say([f"note: {server.name} stays: it was not made by beamtune"])
    else:
        steps[f"delete the endpoint {server.name}"] = lambda: service.delete_endpoint(server.name)
    return steps


def _undeploying(service: Endpoints, endpoint: str, deployed_id: str) -> Callable[[], None]:
    return lambda: service.undeploy(endpoint, deployed_id, lambda found: without(shares_of(found), deployed_id))


def _deleting(service: Endpoints, model: str) -> Callable[[], None]:
    return lambda: service.delete_model(model)


def _service_steps(server: LaunchedJob, place: Place) -> Mapping[str, Callable[[], None]]:
    service = _connect(CloudRun, server, place)
    found = service.find(server.name)
    if found is None:
        return {}
    check_ours(found)
    return {f"delete the service {server.name}": lambda: service.delete(server.name)}


def _content(server: LaunchedJob, place: Place) -> dict[str, Any] | None:
    if server.kind == ENDPOINTS:
        endpoints = _connect(Endpoints, server, place)
        endpoint = endpoints.find_endpoint(server.name)
        return None if endpoint is None else _endpoint_content(endpoint, endpoints.running_operation(server.name))
    services = _connect(CloudRun, server, place)
    service = services.find(server.name)
    return None if service is None else _service_content(service, services)


def _endpoint_content(endpoint: Any, operation: str | None) -> dict[str, Any]:
    state = "READY" if endpoint.deployed_models else "EMPTY"
    return {
        "name": endpoint.name,
        "state": state if operation is None else "CHANGING",
        "created": _time(endpoint.create_time),
        "url": endpoint.dedicated_endpoint_dns,
        "deployments": [
            {
                "id": one.id,
                "model": one.model,
                "machine": one.dedicated_resources.machine_spec.machine_type,
                "replicas": f"{one.dedicated_resources.min_replica_count} to "
                f"{one.dedicated_resources.max_replica_count}",
                "traffic": shares_of(endpoint).get(one.id, 0),
            }
            for one in endpoint.deployed_models
        ],
    }


def _service_content(service: Any, services: CloudRun) -> dict[str, Any]:
    state = "READY" if services.is_ready(service) else "FAILED" if services.has_failed(service) else "CHANGING"
    return {
        "name": service.name,
        "state": state,
        "created": _time(service.create_time),
        "url": service.uri,
        "revision": service.latest_ready_revision,
        "error": service.terminal_condition.message if state == "FAILED" else "",
    }


def _time(value: Any) -> str:
    return "" if value is None else str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _connect(kind: Callable[..., Any], server: LaunchedJob, place: Place) -> Any:
    return kind(
        project=server.project,
        region=server.region,
        api_endpoint=place.api_endpoint or server.api_endpoint,
        retry_deadline_s=place.retry_deadline_s,
        say=say,
    )
