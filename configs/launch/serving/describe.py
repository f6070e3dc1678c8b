"""Lines about a server: its machines and their price before it is made, and how to ask it afterwards."""

import shlex
from collections.abc import Sequence

from configs.launch.config import CloudConfig
from configs.launch.notes import cloud_image_notes
from configs.launch.serving.config import CloudRunConfig, VertexServeConfig
from configs.launch.serving.costs import cloud_run_cost, vertex_cost
from configs.launch.serving.served import Served

_EXAMPLE = "song.mp3"
_CLOUD_RUN_BYTES = 32 << 20


def describe_vertex(config: VertexServeConfig, served: Served) -> list[str]:
    """Returns lines about the machines, the cost and the quota, and about what may surprise."""
    machine = config.chosen_machine()
    with_gpu = f" with 1 {machine.preset.accelerator}" if machine.num_accelerators else ""
    each = machine.num_accelerators or int(machine.machine_type.rpartition("-")[2])
    notes = [*cloud_image_notes(config.image), *_bucket_notes(config, served)]
    if machine.num_accelerators:
        notes.append("the image must have TensorFlow for GPUs: otherwise the GPU is paid for and not used")
    if config.traffic < 100:
        notes.append("the other deployments of the endpoint keep the other requests, in their proportions")
    if not config.image.startswith(f"{config.region}-docker.pkg.dev/"):
        notes.append(f"Vertex AI takes images for servers from Artifact Registry in {config.region} alone")
    least, most = config.min_replicas, config.max_replicas
    replicas = str(most) if least == most else f"{least} to {most}"
    return [
        f"machines: {replicas} {machine.machine_type}{with_gpu}, in {config.region}",
        vertex_cost(config),
        f"quota: {each * config.max_replicas} of {machine.preset.quota} in {config.region}",
        *(f"note: {note}" for note in notes),
    ]


def describe_cloud_run(config: CloudRunConfig, served: Served) -> list[str]:
    """Returns lines about the instances and the cost, and about what may surprise."""
    notes = [*cloud_image_notes(config.image), *_bucket_notes(config, served)]
    if served.config.max_upload_bytes > _CLOUD_RUN_BYTES:
        notes.append("Cloud Run refuses requests of more than 32 MiB, whatever max_upload_bytes is")
    return [
        f"instances: {config.min_instances} to {config.max_instances} of {config.cpu} vCPUs and "
        f"{config.memory_gib} GiB, in {config.region}",
        cloud_run_cost(config),
        f"access: callers need roles/run.invoker, and no one has it from here; launch.ingress={config.ingress}",
        *(f"note: {note}" for note in notes),
    ]


def ask_vertex(url: str, buckets: Sequence[str]) -> list[str]:
    """Returns lines that show how to ask an endpoint.

    Args:
        url: The address of its predict method.
        buckets: The buckets from which it reads files.
    """
    curl = (
        'curl -X POST -H "Authorization: Bearer $(gcloud auth print-access-token)" -H "Content-Type: application/json" '
        f"{shlex.quote(url)}"
    )
    encoded = '{"instances": [{"audio_b64": "'
    lines = [
        "# a file of this machine, as base64; 10 MB at most:",
        f"{{ printf '{encoded}'; base64 -w0 {_EXAMPLE}; printf '\"}}]}}'; }} | {curl} --data-binary @-",
    ]
    if buckets:
        request = f'{{"instances": [{{"uri": "gs://{buckets[0]}/{_EXAMPLE}"}}]}}'
        lines += ["# a file in a bucket:", f"{curl} --data {shlex.quote(request)}"]
    return lines


def ask_cloud_run(url: str, name: str) -> list[str]:
    """Returns lines that show how to ask a service, and how to let others ask it.

    Args:
        url: Its address.
        name: Its full name.
    """
    _, project, _, region, _, service = name.split("/")
    return [
        "# a file of this machine:",
        f'curl -H "Authorization: Bearer $(gcloud auth print-identity-token)" -F file=@{_EXAMPLE} '
        f"{shlex.quote(f'{url}/v1/predict')}",
        "# for others:",
        f"gcloud run services add-iam-policy-binding {service} --project={project} --region={region} "
        "--member=user:THEM --role=roles/run.invoker",
    ]


def _bucket_notes(config: CloudConfig, served: Served) -> list[str]:
    if not served.config.allowed_buckets or config.service_account is not None:
        return []
    return ["allowed_buckets needs launch.service_account, an account that may read them"]
