"""Translates the errors of Google Cloud Storage, whichever client raises them, to one line that says what to type.

TensorFlow, Beam and google-cloud-storage raise errors of their own types. None of them is imported here: an error is
recognised by the module of its type, its HTTP status, and its text. The texts are those of the service's
documentation: https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

import re
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from beam_pipelines.common.errors import RunAgainError, UserError
from beam_pipelines.common.paths import bucket_and_name

# Packages whose errors are looked at. Others may contain the same words by chance.
_CLIENTS = frozenset({"google", "tensorflow", "apache_beam", "apitools", "requests", "urllib3", "httplib2"})
# What Beam adds to an error of a step, which it raises with another type or as text.
_BEAM_STEP = "[while running"
_STEP_ERROR = re.compile(
    r"beam_pipelines\.common\.(?:errors|bucket_errors)\.(BucketOutageError|BucketError): (.*?) \[while running"
)
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# An answer that was received may be incomplete.
_RECEIVED_STATUSES = frozenset({200, 206})
_PASSING_TYPES = frozenset(
    {"ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "ChunkedEncodingError", "ProtocolError"}
    | {"TransportError", "RetryError", "ServiceUnavailable", "GatewayTimeout", "TooManyRequests", "DataCorruption"}
    | {"SSLError", "NewConnectionError", "MaxRetryError", "ServerNotFoundError", "IncompleteRead", "ProxyError"}
    | {"JSONDecodeError"}  # an answer of which a part is missing
)
# Of google.auth: a token cannot be had, a key file is damaged.
_REFUSED_TYPES = frozenset({"RefreshError", "ReauthFailError", "MalformedError", "DefaultCredentialsError"})
_STATUS = re.compile(r"HTTP response code (\d{3})|\b(\d{3}) (?:GET|HEAD|POST|PUT|PATCH|DELETE) |code', (\d{3}),")
# "Error executing an HTTP request: libcurl code 7 meaning 'Couldn't connect to server'".
_CURL = re.compile(r"libcurl code \d+ meaning '(.+?)', error")
# TensorFlow, of an answer of which a part is missing.
_INCOMPLETE_JSON = "Couldn't parse JSON response from GCS"
_PATH = re.compile(r"gs://[^\s'\",;]+")
_URL = re.compile(r"/b/([^/?\s'\"]+)(?:/o/([^?\s:'\"]+))?")
_UPLOAD_OR_LISTING = re.compile(r"/o\?|/o\Z|/o[\s:]|initiating an upload")
_PERMISSION = re.compile(r"\bstorage\.(?:objects|buckets|multipartUploads|folders|managedFolders)\.\w+")
_READ, _LIST = "storage.objects.get", "storage.objects.list"
_CALLER = re.compile(r"([^\s\"'(]+@[^\s\"']+) does not have")
_BODY_MESSAGE = re.compile(r'"message":\s*"((?:[^"\\]|\\.)*)"')
_PROJECT_PROBLEMS = (
    "unknown project",
    "project to be billed",
    "billing account",
    "permission to use project",
    "serviceusage.services.use",
    "has not been used in project",
    "user_project_denied",
    "userprojectinvalid",
    "accountdisabled",
    "accessnotconfigured",
)
_LOG_IN = "gcloud auth application-default login"
_AGAIN = "what is finished is kept: run the same command again"


class BucketError(UserError):
    """A bucket cannot be accessed; the message says what to type."""


class BucketOutageError(RunAgainError):
    """A bucket cannot be reached for some time; the same command resumes."""


@dataclass(frozen=True)
class _Failure:
    """An error of a client.

    Attributes:
        type_name: The name of its type.
        status: The HTTP status; None if there was no answer, or it is not known.
        text: Its text, with the body of the answer where there is one.
        path: The gs:// path; None if the error does not name it.
    """

    type_name: str
    status: int | None
    text: str
    path: str | None

    @property
    def bucket(self) -> str:
        return "BUCKET" if self.path is None else bucket_and_name(self.path)[0]

    @property
    def what(self) -> str:
        return "Google Cloud Storage" if self.path is None else self.path


def translate(error: BaseException, *, path: str | None = None) -> BucketError | BucketOutageError | None:
    """Returns what to raise for an error of a bucket; None for any other error.

    Args:
        error: The error. Those that it was raised from, and those in a BeamIOError, are looked at too.
        path: The gs:// path of the operation; None takes the path that the error names.

    Returns:
        A BucketOutageError if the service cannot be reached or has a fault of its own, which passes. Otherwise a
        BucketError: there is no such bucket, a permission is missing, there are no valid credentials, or the project is
        wrong. Also None for an object that does not exist.
    """
    for one in _chain(error):
        if isinstance(one, BucketError | BucketOutageError):
            return one
        if (raised := _raised_in_step(one)) is not None:
            return raised
        failure = _failure(one, path=path)
        if failure is not None and (translated := _translate(failure)) is not None:
            return translated
    return None


def is_outage(error: BaseException) -> bool:
    """Returns whether an error says that the service cannot be reached or has a fault of its own, which may pass."""
    return isinstance(translate(error), BucketOutageError)


@contextmanager
def translated_bucket_errors() -> Iterator[None]:
    """Raises an error of a bucket in the body as a BucketError or a BucketOutageError; others pass.

    Errors that are raised from one of a bucket are translated too: theirs is the cause.
    """
    try:
        yield
    except Exception as error:
        translated = translate(error)
        if translated is None or translated is error:
            raise
        raise translated from error


def no_bucket(path: str) -> BucketError:
    """Returns the error about a path whose bucket does not exist."""
    bucket = bucket_and_name(path)[0]
    return BucketError(
        f"{path}: the bucket gs://{bucket} does not exist: check the name, or create it: gcloud storage buckets create "
        f"gs://{bucket} --location=REGION"
    )


def no_credentials(what: str) -> BucketError:
    """Returns the error about a path, or about the service, that cannot be accessed without credentials."""
    return BucketError(
        f"{what} cannot be accessed, because there are no credentials for Google Cloud: {_LOG_IN}, or set "
        "GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account"
    )


def _raised_in_step(error: BaseException) -> BucketError | BucketOutageError | None:
    """Returns the error of this package that a step of a pipeline has raised, which Beam passes on as text."""
    found = _STEP_ERROR.search(str(error)) if isinstance(error, RuntimeError) else None
    if found is None:
        return None
    return BucketOutageError(found[2]) if found[1] == "BucketOutageError" else BucketError(found[2])


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and those behind it, each once: its cause or context, and those of a BeamIOError."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        details = getattr(one, "exception_details", None)
        inner = list(details.values()) if isinstance(details, Mapping) else []
        behind = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [other for other in (*inner, behind) if isinstance(other, BaseException)]


def _failure(error: BaseException, *, path: str | None) -> _Failure | None:
    """Returns an error of a client; None for other errors."""
    kind, text = type(error), str(error)
    package = kind.__module__.partition(".")[0]
    is_step = isinstance(error, RuntimeError) and _BEAM_STEP in text
    if package not in _CLIENTS and not is_step:
        return None
    # The errors of TensorFlow concern local files and clusters too.
    if package == "tensorflow" and not any(words in text for words in ("gs://", "HTTP request", _INCOMPLETE_JSON)):
        return None
    response = getattr(error, "response", None)
    body: object = ""
    with suppress(RuntimeError):  # of a download that was received in part
        body = getattr(response, "text", "")
    if isinstance(body, str) and body and body not in text:
        text = f"{text} {body}"
    url = getattr(getattr(response, "request", None), "url", None)
    if isinstance(url, str) and url not in text:
        text = f"{text} {url}"
    return _Failure(
        type_name=kind.__name__,
        status=_status(error, response, text),
        text=text,
        path=path or _path_in(text),
    )


def _status(error: BaseException, response: object, text: str) -> int | None:
    for value in (
        getattr(error, "code", None),
        getattr(response, "status_code", None),
        getattr(error, "status_code", None),
    ):
        if isinstance(value, int) and 100 <= value < 600:
            return int(value)
    # The first one in the text may be that of an answer that was repeated.
    found = _STATUS.findall(text)
    return int(next(filter(None, found[-1]))) if found else None


def _path_in(text: str) -> str | None:
    if found := _PATH.search(text):
        return found[0].rstrip("/.")
    if found := _URL.search(text):
        bucket, name = found[1], urllib.parse.unquote(found[2] or "")
        return f"gs://{bucket}/{name}".rstrip("/")
    return None


def _translate(failure: _Failure) -> BucketError | BucketOutageError | None:
    text = failure.text.lower()
    if "requester pays" in text or "userprojectmissing" in text:
        return BucketError(
            f"{failure.what}: readers of the bucket gs://{failure.bucket} pay for it (requester pays), which beamtune "
            "cannot do: copy the files to a bucket of your own: gcloud storage cp --recursive "
            f"--billing-project=PROJECT gs://{failure.bucket}/… gs://YOUR-BUCKET/…"
        )
    if _is_anonymous(text):
        return no_credentials(failure.what)
    if any(problem in text for problem in _PROJECT_PROBLEMS):
        return BucketError(
            f"{failure.what} cannot be accessed, because the project is wrong or cannot be billed: "
            f"{_reason(failure)}: gcloud auth application-default set-quota-project PROJECT, and check "
            "GOOGLE_CLOUD_PROJECT"
        )
    if failure.status == 401 or failure.type_name in _REFUSED_TYPES:
        return BucketError(
            f"{failure.what} cannot be accessed, because Google refuses the credentials, which may have expired "
            f"({_reason(failure)}): {_LOG_IN}, or check the key file in GOOGLE_APPLICATION_CREDENTIALS"
        )
    if failure.status == 403:
        return _no_permission(failure)
    if failure.status == 404:
        is_bucket = "bucket does not exist" in text or (
            "upload_id=" not in text and _UPLOAD_OR_LISTING.search(failure.text) is not None
        )
        return no_bucket(failure.path or "gs://BUCKET") if is_bucket else None
    if failure.status == 400 and "invalid bucket name" in text:
        return BucketError(f"gs://{failure.bucket} is no valid name of a bucket: check {failure.what}")
    is_received = failure.status is None or failure.status in _RECEIVED_STATUSES
    if failure.status in _PASSING_STATUSES or (is_received and _is_passing(failure)):
        return BucketOutageError(f"{failure.what} cannot be reached ({_reason(failure)}): {_AGAIN}")
    return None


def _is_anonymous(text: str) -> bool:
    return (
        "anonymous caller" in text
        or "anonymous credentials cannot be refreshed" in text
        or "default credentials were not found" in text
    )


def _is_passing(failure: _Failure) -> bool:
    return (
        failure.type_name in _PASSING_TYPES
        or _CURL.search(failure.text) is not None
        or _INCOMPLETE_JSON in failure.text
    )


def _no_permission(failure: _Failure) -> BucketError:
    permission, caller = _PERMISSION.search(failure.text), _CALLER.search(failure.text)
    named = "a permission" if permission is None else f"the permission {permission[0]}"
    if permission is not None and permission[0] == _READ:
        named += f", or there is no such object, which only an account with {_LIST} is told"
    member = "MEMBER"
    if caller is not None:
        kind = "serviceAccount" if caller[1].endswith("gserviceaccount.com") else "user"
        member = f"{kind}:{caller[1]}"
    needs_bucket = permission is not None and permission[0].startswith("storage.buckets.")
    role = "roles/storage.legacyBucketReader" if needs_bucket else "roles/storage.objectAdmin"
    who = "the account of the credentials" if caller is None else caller[1]
    return BucketError(
        f"{failure.what}: {who} lacks {named}: gcloud storage buckets add-iam-policy-binding gs://{failure.bucket} "
        f"--member={member} --role={role}"
    )


def _reason(failure: _Failure) -> str:
    """Returns the reason that the service or the client gives, without JSON and HTML."""
    if found := _BODY_MESSAGE.search(failure.text):
        return _short(found[1])
    if found := _CURL.search(failure.text):
        return _short(found[1])
    if failure.status is not None:
        return f"HTTP status {failure.status}"
    if failure.type_name == "RefreshError" and (found := re.match(r"\('(.+?)'", failure.text)):
        return _short(found[1])
    return _short(failure.text) or failure.type_name


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"
