"""The client of Google Cloud Storage, which the extras `cloud` and `gcp` install. It is imported when it is used."""

import importlib
import os
from functools import cache
from importlib.util import find_spec
from typing import Any

# Otherwise google-cloud-storage asks for the metadata of each bucket, which needs the permission storage.buckets.get.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")


def is_installed() -> bool:
    """Returns whether google-cloud-storage is installed, without its import."""
    try:
        return find_spec("google.cloud.storage") is not None
    except ModuleNotFoundError:  # there is no package of Google's
        return False


def require_client() -> Any:
    """Returns the module google.cloud.storage.

    Raises:
        ModuleNotFoundError: google-cloud-storage is not installed.
    """
    # `from google.cloud import storage` would not name what is missing where other packages of google.cloud are there.
    return importlib.import_module("google.cloud.storage")


def is_anonymous() -> bool:
    """Returns whether the client of this process has no credentials."""
    from google.auth.credentials import AnonymousCredentials

    return isinstance(client()._credentials, AnonymousCredentials)


@cache
def client() -> Any:
    """Returns the client of this process. Without credentials it is anonymous: everyone may read some buckets.

    Raises:
        ModuleNotFoundError: google-cloud-storage is not installed.
        GoogleAuthError: The credentials cannot be read.
    """
    storage = require_client()
    from google.auth.exceptions import DefaultCredentialsError

    try:
        # Objects need no project, and without one a client that asks for it cannot be made: `gcloud auth
        # application-default login` sets none.
        return storage.Client(project=None)
    except DefaultCredentialsError:
        if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):  # a file that is missing or damaged
            raise
        return storage.Client.create_anonymous_client()
