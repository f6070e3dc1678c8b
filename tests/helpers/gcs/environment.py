"""The environment of a process that reaches the emulator as gs://."""

from collections.abc import Mapping
from pathlib import Path

from gcs.certificates import PROJECT

# These would lead past the emulator, or to credentials of the user. gRPC reads the lower-case name of a proxy.
REMOVED = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "ALL_PROXY",
    "STORAGE_EMULATOR_HOST",
    "GOOGLE_AUTH_TOKEN_FOR_TESTING",
    "TF_USE_MODULAR_FILESYSTEM",
)
_LOOPBACK = "127.0.0.1,localhost,::1"


def variables(folder: Path, port: int) -> dict[str, str]:
    """Returns what must be set, before TensorFlow is imported; REMOVED must not be.

    Args:
        folder: The folder of the server.
        port: The port of the server.
    """
    return {
        "HTTPS_PROXY": f"http://127.0.0.1:{port}",
        "NO_PROXY": _LOOPBACK,
        "no_proxy": _LOOPBACK,
        "CURL_CA_BUNDLE": f"{folder}/ca.pem",  # TensorFlow
        "REQUESTS_CA_BUNDLE": f"{folder}/ca.pem",  # Google's clients for Python
        "GOOGLE_APPLICATION_CREDENTIALS": f"{folder}/service-account.json",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "CLOUDSDK_CONFIG": f"{folder}/gcloud",  # no credentials of the user
        "NO_GCE_CHECK": "true",
        # TensorFlow's first pause before it repeats a request is 1 s, and the last 32 s.
        "GCS_RETRY_CONFIG_INIT_DELAY_TIME_US": "50000",
        "GCS_RETRY_CONFIG_MAX_DELAY_TIME_US": "500000",
    }


def environment(folder: Path, port: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """Returns all variables of such a process; those of `inherited` that do not lead past the emulator are kept."""
    kept = {name: value for name, value in inherited.items() if name not in REMOVED}
    return {**kept, **variables(folder, port)}
