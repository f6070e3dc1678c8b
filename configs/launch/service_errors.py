"""Translates the errors of Vertex AI and of its client to one line that says what to type.

No client is imported here: an error is recognised by its type's module, its HTTP status and its text.
"""

import re

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


class ServiceOutageError(RunAgainError):
    """Vertex AI cannot be reached, or has a fault of its own, for some time: the same command may succeed later."""


def translate(error: BaseException, *, what: str, project: str) -> UserError | ServiceOutageError | None:
    """Returns what to raise for an error of a request; None for an error of this program.

    Args:
        error: The error.
        what: What was asked for, for messages, such as "the job 123".
        project: The project of the request.
    """
    if isinstance(error, UserError | ServiceOutageError):
        return error
    kind = type(error)
    if kind.__module__.partition(".")[0] not in _CLIENTS:
        return None
    if kind.__name__ == "DefaultCredentialsError":
        return no_credentials("Vertex AI")
    reason = _reason(error)
    if kind.__name__ in _REFUSED_TYPES:
        return UserError(
            f"Google refuses the credentials, which may have expired ({reason}): gcloud auth application-default "
            "login, or check the key file in GOOGLE_APPLICATION_CREDENTIALS"
        )
    status = getattr(error, "code", None)
    if status in _PASSING or kind.__name__ in _PASSING_TYPES:
        return ServiceOutageError(
            f"Vertex AI cannot be reached ({reason}): run the same command again, which looks first whether the job "
            "was started"
        )
    if status == 429:
        return _exhausted(reason)
    if status == 403:
        return _forbidden(reason, what=what, project=project)
    if status == 401:
        return UserError(f"Google refuses the credentials ({reason}): gcloud auth application-default login")
    if status == 404:
        return UserError(f"{what}: it does not exist, or something that it names does not: {reason}")
    if status == 409:
        return UserError(f"{what}: it exists already, or is being changed: {reason}")
    if status == 400:
        return UserError(f"{what}: Vertex AI does not accept the request: {reason}")
    return UserError(f"{what}: {reason}")


def _exhausted(reason: str) -> UserError | ServiceOutageError:
    quotas = sorted({found[0] for found in _QUOTA.finditer(reason)})
    if not quotas:  # requests per minute, or no machines at the moment
        return ServiceOutageError(f"Vertex AI takes no more at the moment ({reason}): run the same command later")
    return UserError(
        f"the quota {', '.join(quotas)} is too small ({reason}): choose another launch.region or fewer machines, or "
        "ask for more on the page IAM & Admin, Quotas of the console"
    )


def _forbidden(reason: str, *, what: str, project: str) -> UserError:
    if "has not been used in project" in reason or "it is disabled" in reason:
        return UserError(
            f"Vertex AI is not enabled in the project: gcloud services enable aiplatform.googleapis.com "
            f"--project={project}"
        )
    permission = _PERMISSION.search(reason)
    name = "" if permission is None else permission[1]
    if name.startswith("iam.serviceAccounts") or "act as" in reason:
        account = _ACCOUNT.search(reason)
        return UserError(
            f"{what}: you may not run jobs as the service account ({reason}): gcloud iam service-accounts "
            f"add-iam-policy-binding {'ACCOUNT' if account is None else account[0]} --project={project} "
            "--member=user:YOU --role=roles/iam.serviceAccountUser"
        )
    return UserError(
        f"{what}: the permission {name or 'for it'} is missing ({reason}): gcloud projects add-iam-policy-binding "
        f"{project} --member=user:YOU --role=roles/aiplatform.user"
    )


def _reason(error: BaseException) -> str:
    """Returns what the service or the client says, on one line, without the address of the request."""
    line = " ".join(_REQUEST.sub("", str(error), count=1).split()) or type(error).__name__
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"
