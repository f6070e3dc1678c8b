"""`beamtune launch vertex|cloudrun serve …`: checks a model here, and makes a server of it, once."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import yaml

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from configs.command import Invocation
from configs.launch.config import CloudConfig, LaunchConfig
from configs.launch.dialogue import ask, say
from configs.launch.history import LaunchedJob, remember
from configs.launch.identity import LAUNCH_LABEL
from configs.launch.serving.cloud_run import CloudRun, check_ours
from configs.launch.serving.cloudrun_request import CloudRunRequest, cloudrun_request
from configs.launch.serving.config import CloudRunConfig, VertexServeConfig
from configs.launch.serving.describe import ask_cloud_run, ask_vertex, describe_cloud_run, describe_vertex
from configs.launch.serving.endpoints import Endpoints, deployed_ids, shares_of
from configs.launch.serving.model_files import files_key
from configs.launch.serving.served import Served, served_command
from configs.launch.serving.traffic import with_share
from configs.launch.serving.vertex_requests import NEW, VertexRequests, vertex_requests

_ABOUT = "to start a server that costs money until it is removed"
_WAITING = "Ctrl-C ends the waiting and not the server: the same command waits again"
_AFTERWARDS = "beamtune launch status last, beamtune launch logs last, beamtune launch remove last"


def launch_server(
    config: LaunchConfig, paths: Sequence[str], words: Sequence[str], invocation: Invocation, *, stream: TextIO
) -> None:
    """Makes a server, unless there is the same one; asks before, on a terminal.

    Args:
        config: Where, and on what.
        paths: The positional paths of `serve`: the model.
        words: Its settings, each as key=value.
        invocation: Whether only to print the requests, which needs no network; whether to ask; and whether JSON is
            printed.
        stream: Where it is printed.

    Raises:
        UserError: A setting is wrong, the model is not finished, the service refuses it, or nobody could be asked.
        RunAgainError: The service or the bucket could not be reached until the deadline.
    """
    as_json, assume_yes = invocation.output_format == "json", invocation.assume_yes
    served = served_command(paths, words)
    if isinstance(config, VertexServeConfig):
        if invocation.dry_run:
            requests = vertex_requests(config, served, files_key=None).shown()
            _show(requests, describe_vertex(config, served), as_json=as_json, stream=stream)
            return
        server = _serve_on_vertex(config, served, assume_yes=assume_yes)
    else:
        assert isinstance(config, CloudRunConfig)
        if invocation.dry_run:
            requests = cloudrun_request(config, served, files_key=None).shown()
            _show(requests, describe_cloud_run(config, served), as_json=as_json, stream=stream)
            return
        server = _serve_on_cloud_run(config, served, assume_yes=assume_yes)
    example = server.pop("example")
    print(json.dumps(server, indent=2) if as_json else "\n".join([server["name"], *example]), file=stream)
    say([_AFTERWARDS])


def _show(requests: Mapping[str, Any], lines: list[str], *, as_json: bool, stream: TextIO) -> None:
    say(lines)
    if as_json:
        print(json.dumps(requests, indent=2), file=stream)
    else:
        yaml.safe_dump(dict(requests), stream, sort_keys=False, allow_unicode=True, width=1_000)


def _serve_on_vertex(config: VertexServeConfig, served: Served, *, assume_yes: bool) -> dict[str, Any]:
    """Returns what is printed of the deployment, and how to ask it."""
    requests = vertex_requests(config, served, files_key=files_key(served))
    service = _connect(Endpoints, config)
    found = service.find_endpoint(requests.endpoint)
    split = _split(requests.deployed_id, config, found)
    is_new = found is None or requests.deployed_id not in deployed_ids(found)
    if is_new or shares_of(found) != split:
        say(describe_vertex(config, served))
        if not assume_yes:
            ask(f"serve {served.directory} at the endpoint {config.endpoint} in {config.project}?", about=_ABOUT)
        _remember(requests.endpoint, config)
        say([_WAITING])
        _deploy(service, requests, config)
    endpoint = service.find_endpoint(requests.endpoint)
    if endpoint is None:
        raise UserError(f"the endpoint {requests.endpoint} was deleted by another command")
    _remember(requests.endpoint, config)
    host = endpoint.dedicated_endpoint_dns.removeprefix("https://") or f"{config.region}-aiplatform.googleapis.com"
    url = f"https://{host}/v1/{requests.endpoint}:predict"
    if not endpoint.dedicated_endpoint_enabled:
        say([f"note: the endpoint {config.endpoint} is a shared one: it takes requests of 1.5 MB, and not of 10 MB"])
    return {
        "name": requests.endpoint,
        "model": requests.model,
        "deployed_id": requests.deployed_id,
        "traffic": shares_of(endpoint),
        "url": url,
        "is_new": is_new,
        "example": ask_vertex(url, served.config.allowed_buckets),
    }


def _deploy(service: Endpoints, requests: VertexRequests, config: VertexServeConfig) -> None:
    service.ensure_model(requests.upload_model)
    service.ensure_endpoint(requests.create_endpoint)
    service.ensure_deployed(requests.deploy_model, lambda found: _split(NEW, config, found))
    endpoint = service.find_endpoint(requests.endpoint)
    split = _split(requests.deployed_id, config, endpoint)
    if endpoint is not None and shares_of(endpoint) != split:
        service.set_traffic(requests.endpoint, split)


def _split(deployed: str, config: VertexServeConfig, endpoint: Any | None) -> dict[str, int]:
    """Returns the shares of the requests with that of a deployment; raises a UserError if they would not be 100."""
    others = {name: share for name, share in shares_of(endpoint).items() if name != deployed}
    check(
        config.traffic == 100 or bool(others),
        key="launch.traffic",
        value=config.traffic,
        expected="100, because no other deployment of the endpoint would take the rest",
    )
    return {name: share for name, share in with_share(others, deployed, config.traffic).items() if share}


def _serve_on_cloud_run(config: CloudRunConfig, served: Served, *, assume_yes: bool) -> dict[str, Any]:
    """Returns what is printed of the service, and how to ask it."""
    request = cloudrun_request(config, served, files_key=files_key(served))
    service = _connect(CloudRun, config)
    found = service.find(request.service)
    if found is not None:
        check_ours(found)
    is_new = not _is_same(found, request) or service.has_failed(found)
    if is_new:
        say(describe_cloud_run(config, served))
        if not assume_yes:
            ask(f"serve {served.directory} by the service {config.service} in {config.project}?", about=_ABOUT)
    _remember(request.service, config)
    say([_WAITING])
    ready = service.ensure(request)
    return {
        "name": request.service,
        "revision": ready.latest_ready_revision,
        "url": ready.uri,
        "is_new": is_new,
        "example": ask_cloud_run(ready.uri, request.service),
    }


def _is_same(service: Any | None, request: CloudRunRequest) -> bool:
    return service is not None and service.labels.get(LAUNCH_LABEL) == request.key


def _connect(kind: Callable[..., Any], config: CloudConfig) -> Any:
    return kind(
        project=config.project,
        region=config.region,
        api_endpoint=config.api_endpoint,
        retry_deadline_s=config.retry_deadline_s,
        say=say,
    )


def _remember(name: str, config: CloudConfig) -> None:
    remember(LaunchedJob(name, config.project, config.region, config.api_endpoint))
