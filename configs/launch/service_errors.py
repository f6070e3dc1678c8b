"""Translates the errors of Vertex AI, Cloud Run and their clients to one line that says what to type.

No client is imported here: an error is recognised by its type's module, its HTTP status and its text.
"""

import re
from dataclasses import dataclass

from beam_pipelines.common.bucket_errors import no_credentials
from beam_pipelines.common.errors import RunAgainError, UserError

_PASSING = frozenset({408, 500, 502, 503, 504})
_CLIENTS = frozenset({"google", "requests", "urllib3"})
_PASSING_TYPES = frozenset(
    {"ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "ChunkedEncodingError", "TransportError"}
    | {"ProtocolError", "SSLError", "ProxyError", "RetryError", "JSONDecodeError", "ContentDecodingError"}
)
_REFUSED_TYPES = frozenset({"RefreshError", "ReauthFailError", "MalformedError", "InvalidOperation"})
_REQUEST = re.compile(r"\A(?:\d{3} )?(?:(?:GET|POST|DELETE|PATCH) \S+: )?")
_PERMISSION = re.compile(
    r"\b([a-z]+\.[A-Za-z]+\.[A-Za-z]+)\b(?=['\" ].*(?:denied|missing|lack|required|does not have))"
)
_QUOTA = re.compile(r"\b(?:[a-z]+\.googleapis\.com/)?custom_model_[a-z0-9_]+\b|\b[a-z]+\.googleapis\.com/[a-z0-9_]+\b")
_ACCOUNT = re.compile(r"[\w.+-]+@[\w.-]+\w")
_MAX_REASON = 300


@dataclass(frozen=True)
class CloudService:
    """A service, for messages.

    Attributes:
        name: What people call it.
        api: The API that must be enabled.
        role: The role that grants what `beamtune launch` asks of it.
        started: What may have been started by a request without an answer.
    """

    name: str
    api: str
    role: str
    started: str


VERTEX = CloudService("Vertex AI", "aiplatform.googleapis.com", "roles/aiplatform.user", "the job")
VERTEX_ENDPOINTS = CloudService("Vertex AI", "aiplatform.googleapis.com", "roles/aiplatform.user", "the deployment")
CLOUD_RUN = CloudService("Cloud Run", "run.googleapis.com", "roles/run.developer", "the service")


class ServiceOutageError(RunAgainError):
    """A service cannot be reached, or has a fault of its own, for some time: the same command may succeed later."""


def translate(
    error: BaseException, *, what: str, project: str, service: CloudService = VERTEX
) -> UserError | ServiceOutageError | None:
    """Returns what to raise for an error of a request; None for an error of this program.

    Args:
        error: The error.
        what: What was asked for, for messages, such as "the job 123".
        project: The project of the request.
        service: The service.
    """
    if isinstance(error, UserError | ServiceOutageError):
        return error
    kind = type(error)
    if kind.__module__.partition(".")[0] not in _CLIENTS:
        return None
    if kind.__name__ == "DefaultCredentialsError":
        return no_credentials(service.name)
    reason = _reason(error)
    if kind.__name__ in _REFUSED_TYPES:
        return UserError(
            f"Google refuses the credentials, which may have expired ({reason}): gcloud auth application-default "
            "login, or check the key file in GOOGLE_APPLICATION_CREDENTIALS"
        )
    status = getattr(error, "code", None)
    if status in _PASSING or kind.__name__ in _PASSING_TYPES:
        return ServiceOutageError(
            f"{service.name} cannot be reached ({reason}): run the same command again, which looks first whether "
            f"{service.started} was started"
        )
    if status == 429:
        return _exhausted(reason, service)
    if status == 403:
        return _forbidden(reason, service, what=what, project=project)
    if status == 401:
        return UserError(f"Google refuses the credentials ({reason}): gcloud auth application-default login")
    if status == 404:
        return UserError(f"{what}: it does not exist, or something that it names does not: {reason}")
    if status == 409:
        return UserError(f"{what}: it exists already, or is being changed: {reason}")
    if status == 400:
        return UserError(f"{what}: {service.name} does not accept the request: {reason}")
    return UserError(f"{what}: {reason}")


def _exhausted(reason: str, service: CloudService) -> UserError | ServiceOutageError:
    quotas = sorted({found[0] for found in _QUOTA.finditer(reason)})
    if not quotas:  # requests per minute, or no machines at the moment
        return ServiceOutageError(f"{service.name} takes no more at the moment ({reason}): run the same command later")
    return UserError(
        f"the quota {', '.join(quotas)} is too small ({reason}): choose another launch.region or fewer machines, or "
        "ask for more on the page IAM & Admin, Quotas of the console"
    )


def _forbidden(reason: str, service: CloudService, *, what: str, project: str) -> UserError:
    if "has not been used in project" in reason or "it is disabled" in reason:
        return UserError(
            f"{service.name} is not enabled in the project: gcloud services enable {service.api} --project={project}"
        )
    permission = _PERMISSION.search(reason)
    name = "" if permission is None else permission[1]
    if name.startswith("iam.serviceAccounts") or "act as" in reason:
        account = _ACCOUNT.search(reason)
        return UserError(
            f"{what}: you may not use the service account ({reason}): gcloud iam service-accounts "
            f"add-iam-policy-binding {'ACCOUNT' if account is None else account[0]} --project={project} "
            "--member=user:YOU --role=roles/iam.serviceAccountUser"
        )
    return UserError(
        f"{what}: the permission {name or 'for it'} is missing ({reason}): gcloud projects add-iam-policy-binding "
        f"{project} --member=user:YOU --role={service.role}"
    )


def _reason(error: BaseException) -> str:
    """Returns what the service or the client says, on one line, without the address of the request."""
    line = " ".join(_REQUEST.sub("", str(error), count=1).split()) or type(error).__name__
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"
