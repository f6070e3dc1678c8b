"""Experiments of Vertex AI, which jobs belong to: contexts of the schema system.Experiment in its metadata store.

As Google's library makes them: `google/cloud/aiplatform/metadata/experiment_resources.py`. The service itself makes the
run of each job in its experiment.
"""

import importlib
import re
from contextlib import suppress
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.launch.config import CloudLaunchConfig
from configs.launch.requests import OPTIONS, Requests, vertex_endpoint

_SCHEMA, _SCHEMA_VERSION = "system.Experiment", "0.0.1"
_CONTEXT_ID = re.compile(r"[-a-z0-9]{4,128}")


def experiment_obstacle(config: CloudLaunchConfig) -> str | None:
    """Returns why a job has only the label of its experiment; None if it belongs to it, or to none."""
    if config.experiment is None:
        return None
    if config.service_account is None:
        return "Vertex AI takes jobs into experiments only with launch.service_account"
    if getattr(config, "tensorboard", None) is not None:
        return "Vertex AI takes no job into an experiment that has launch.tensorboard"
    if _CONTEXT_ID.fullmatch(config.experiment) is None:
        return "names of experiments have 4 to 128 lower-case letters, digits and hyphens"
    return None


def experiment_of(config: CloudLaunchConfig) -> str | None:
    """Returns the full name of the experiment that a job belongs to; None if it belongs to none."""
    if config.experiment is None or experiment_obstacle(config) is not None:
        return None
    return f"{_store(config)}/contexts/{config.experiment}"


def ensure_experiment(config: CloudLaunchConfig, name: str) -> None:
    """Makes an experiment, unless it is there, and the metadata store of the region.

    Raises:
        UserError: The service refuses it, or something else has this name.
        ServiceOutageError: The service could not be reached until the deadline.
    """
    from google.api_core.exceptions import Conflict, NotFound

    module = importlib.import_module("google.cloud.aiplatform_v1")
    requests = Requests(
        project=config.project,
        endpoint=vertex_endpoint(config.region, config.api_endpoint),
        retry_deadline_s=config.retry_deadline_s,
    )
    client = requests.client(module.MetadataServiceClient)

    def attempt() -> None:
        try:
            found = client.get_context(name=name, **OPTIONS)
        except NotFound:
            with suppress(Conflict):  # another command has just made it
                _create(client, module, config)
            return
        if found.schema_title != _SCHEMA:
            raise UserError(f"{name} is no experiment, but a {found.schema_title}: choose another launch.experiment")

    requests.call(attempt, what=f"the experiment {name}")


def _create(client: Any, module: Any, config: CloudLaunchConfig) -> None:
    from google.api_core.exceptions import NotFound

    context = module.Context(
        display_name=config.experiment,
        schema_title=_SCHEMA,
        schema_version=_SCHEMA_VERSION,
        metadata={"experiment_deleted": False},  # by which the console chooses what it shows
    )
    request = {"parent": _store(config), "context": context, "context_id": config.experiment}
    try:
        client.create_context(request=request, **OPTIONS)
    except NotFound:  # the first experiment in the region
        store = module.MetadataStore()
        if config.kms_key is not None:
            store.encryption_spec.kms_key_name = config.kms_key
        parent = f"projects/{config.project}/locations/{config.region}"
        made = client.create_metadata_store(
            request={"parent": parent, "metadata_store": store, "metadata_store_id": "default"}, **OPTIONS
        )
        made.result(timeout=OPTIONS["timeout"])
        client.create_context(request=request, **OPTIONS)


def _store(config: CloudLaunchConfig) -> str:
    return f"projects/{config.project}/locations/{config.region}/metadataStores/default"
