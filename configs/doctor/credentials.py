"""Whether there are credentials for gs://, from files and variables alone: nothing is asked over the network."""

import json
import os
from collections.abc import Mapping

from configs.doctor.findings import BROKEN, MISSING, OK, Finding

_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_METADATA_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP")
_LOGIN = "gcloud auth application-default login"

# The kinds of credentials that google-auth reads. Nothing else of a file is printed.
_TYPES = (
    *("authorized_user", "external_account", "external_account_authorized_user", "gdch_service_account"),
    *("impersonated_service_account", "service_account"),
)


def find_credentials(environment: Mapping[str, str] = os.environ) -> Finding:
    """Returns where google-auth finds credentials, in its order: variable, gcloud's file, metadata server."""
    chosen = environment.get(_VARIABLE, "")
    if chosen:
        return _of_file(chosen, source=_VARIABLE, fix=f"export {_VARIABLE}=/path/to/key.json, or unset it")
    path = os.path.join(_gcloud_dir(environment), "application_default_credentials.json")
    if os.path.exists(path):
        return _of_file(path, source="gcloud's file", fix=_LOGIN)
    server = next((name for name in _METADATA_VARIABLES if environment.get(name)), None)
    if server is not None:
        return Finding("gs://", "credentials", OK, f"from the metadata server, {server} is set")
    return Finding(
        "gs://",
        "credentials",
        MISSING,
        "none in files and variables (a machine of Google Cloud has those of its service account)",
        fix=_LOGIN,
    )


def _gcloud_dir(environment: Mapping[str, str]) -> str:
    home = environment.get("HOME") or os.path.expanduser("~")
    return environment.get("CLOUDSDK_CONFIG") or os.path.join(home, ".config", "gcloud")


def _of_file(path: str, *, source: str, fix: str) -> Finding:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        kind = content.get("type") if isinstance(content, dict) else None
        problem = None if kind in _TYPES else "it is no file of credentials"
    except OSError as error:
        kind, problem = None, error.strerror or type(error).__name__
    except ValueError:  # the message may quote the file
        kind, problem = None, "it is not JSON"
    if problem is None:
        return Finding("gs://", "credentials", OK, f"{kind}, from {source}: {path}")
    return Finding(
        "gs://", "credentials", BROKEN, f"{source}: {path}: {problem}", expected="a JSON file of credentials", fix=fix
    )
