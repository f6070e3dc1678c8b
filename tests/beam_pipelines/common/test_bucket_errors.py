"""Errors of the clients as they are raised, with the texts of the service's answers, against the lines for the user."""

import json

import pytest
import requests
import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from beam_pipelines.common.bucket_errors import translate, translated_bucket_errors
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError

_URL = "GET https://storage.googleapis.com/storage/v1/b/music/o/a%2Fb.mp3?alt=media"
_ACCOUNT = "train@lab.iam.gserviceaccount.com"
_FORBIDDEN = (
    f"{_ACCOUNT} does not have storage.objects.create access to the Google Cloud Storage object. "
    "Permission 'storage.objects.create' denied on resource (or it may not exist)."
)
_NO_BUCKET = "The specified bucket does not exist."
_CREATE = "gcloud storage buckets create gs://music --location=REGION"
_LOG_IN = "gcloud auth application-default login"


def _tensorflow(status: int, message: str, kind: type[Exception]) -> Exception:
    body = json.dumps({"error": {"code": status, "message": message}})
    text = (
        f"Error executing an HTTP request: HTTP response code {status} with body '{body}'\n\t when reading gs://music/a"
    )
    return kind(None, None, text)


def _invalid_response(status: int, message: str) -> Exception:
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps({"error": {"code": status, "message": message}}).encode()
    url = "https://storage.googleapis.com/upload/storage/v1/b/music/o?uploadType=resumable"
    response.request = requests.Request("POST", url).prepare()
    return InvalidResponse(response, "Request failed with status code", status, "Expected one of", 200)


def _corrupted_download() -> Exception:
    response = requests.Response()
    response.status_code = 200
    response._content_consumed = True  # so that its text cannot be read
    return DataCorruption(response, "Checksum mismatch while downloading")


def _beam(inner: Exception) -> Exception:
    listing = BeamIOError("List operation failed", {"gs://music/a/": inner})
    return BeamIOError("Match operation failed", {"gs://music/a/**": listing})


@pytest.mark.parametrize(
    "error",
    [
        api.NotFound(f"{_URL.replace('/o/a%2Fb.mp3', '/o')}: {_NO_BUCKET}"),
        api.NotFound(f"{_URL}: {_NO_BUCKET}"),
        _tensorflow(404, _NO_BUCKET, tf.errors.NotFoundError),
        # An answer without a body.
        tf.errors.NotFoundError(
            None,
            None,
            "Error executing an HTTP request: HTTP response code 404\n\t when initiating an upload to gs://music/a",
        ),
        _invalid_response(404, "Not Found"),
        _beam(api.NotFound("GET https://storage.googleapis.com/storage/v1/b/music/o?prefix=a: unknown error")),
    ],
)
def test_a_missing_bucket_is_named_with_the_command_that_creates_it(error: Exception) -> None:
    translated = translate(error)
    assert isinstance(translated, UserError)
    assert "the bucket gs://music does not exist" in str(translated)
    assert _CREATE in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        api.Forbidden(f"{_URL}: {_FORBIDDEN}"),
        _tensorflow(403, _FORBIDDEN, tf.errors.PermissionDeniedError),
        _invalid_response(403, _FORBIDDEN),
        _beam(api.Forbidden(f"{_URL}: {_FORBIDDEN}")),
        RuntimeError(f"google.api_core.exceptions.Forbidden: 403 {_URL}: {_FORBIDDEN} [while running 'BuildShard']"),
    ],
)
def test_a_missing_permission_is_named_with_the_command_that_grants_it(error: Exception) -> None:
    translated = translate(error)
    assert isinstance(translated, UserError)
    assert f"{_ACCOUNT} lacks the permission storage.objects.create" in str(translated)
    assert (
        "gcloud storage buckets add-iam-policy-binding gs://music "
        f"--member=serviceAccount:{_ACCOUNT} --role=roles/storage.objectAdmin" in str(translated)
    )


def test_a_person_is_a_user_and_a_bucket_permission_has_a_role_of_its_own() -> None:
    message = "kim@lab.org does not have storage.buckets.get access to the Google Cloud Storage bucket."
    translated = translate(api.Forbidden(f"{_URL}: {message}"))
    assert str(translated) == (
        "gs://music/a/b.mp3: kim@lab.org lacks the permission storage.buckets.get: gcloud storage buckets "
        "add-iam-policy-binding gs://music --member=user:kim@lab.org --role=roles/storage.legacyBucketReader"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (auth.DefaultCredentialsError("Your default credentials were not found."), "there are no credentials"),
        (auth.InvalidOperation("Anonymous credentials cannot be refreshed."), "there are no credentials"),
        (
            _tensorflow(
                401,
                "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.",
                tf.errors.PermissionDeniedError,
            ),
            "there are no credentials",
        ),
        (
            auth.RefreshError("invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}),
            "(invalid_grant: Token has been expired or revoked.)",
        ),
        (_tensorflow(401, "Invalid Credentials", tf.errors.PermissionDeniedError), "(Invalid Credentials)"),
        (api.Unauthorized(f"{_URL}: Invalid Credentials"), "Google refuses the credentials"),
    ],
)
def test_missing_and_refused_credentials_say_how_to_log_in(error: Exception, expected: str) -> None:
    translated = translate(error, path="gs://music/a")
    assert isinstance(translated, UserError)
    assert str(translated).startswith("gs://music/a cannot be accessed")
    assert expected in str(translated)
    assert _LOG_IN in str(translated)
    assert "{" not in str(translated)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (api.BadRequest(f"{_URL}: Unknown project id: lab-42"), "set-quota-project"),
        (
            api.Forbidden(f"{_URL}: The project to be billed is associated with an absent billing account."),
            "set-quota-project",
        ),
        (
            api.Forbidden(
                f"{_URL}: {_ACCOUNT} does not have serviceusage.services.use access to the Google Cloud project."
            ),
            "set-quota-project",
        ),
        (
            api.BadRequest(f"{_URL}: Bucket is a requester pays bucket but no user project provided."),
            "--billing-project=PROJECT gs://music/…",
        ),
        (
            _tensorflow(
                400, "Bucket is a requester pays bucket but no user project provided.", tf.errors.InvalidArgumentError
            ),
            "--billing-project=PROJECT gs://music/…",
        ),
    ],
)
def test_a_wrong_project_and_a_bucket_whose_readers_pay(error: Exception, expected: str) -> None:
    translated = translate(error)
    assert isinstance(translated, UserError)
    assert expected in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        api.ServiceUnavailable(f"{_URL}: Backend Error"),
        api.TooManyRequests(f"{_URL}: The object exceeded the rate limit"),
        api.RetryError("Timeout of 120.0s exceeded", cause=api.ServiceUnavailable("x")),
        auth.TransportError("HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max retries exceeded"),
        requests.ConnectionError("('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"),
        _tensorflow(503, "Backend Error", tf.errors.UnavailableError),
        tf.errors.UnavailableError(
            None,
            None,
            "Error executing an HTTP request: libcurl code 7 meaning 'Couldn't connect to server', error details: "
            "Failed to connect to storage.googleapis.com\n\t when reading gs://music/a",
        ),
        _beam(api.ServiceUnavailable("x")),
        # Answers of which a part is missing.
        requests.exceptions.JSONDecodeError("Unterminated string", "{", 1),
        tf.errors.InternalError(None, None, "Couldn't parse JSON response from GCS."),
        _corrupted_download(),
    ],
)
def test_an_outage_can_be_run_again(error: Exception) -> None:
    translated = translate(error, path="gs://music/a")
    assert isinstance(translated, RunAgainError)
    assert str(translated).startswith("gs://music/a cannot be reached (")
    assert str(translated).endswith("run the same command again")


@pytest.mark.parametrize(
    "error",
    [
        api.NotFound(f"{_URL}: No such object: music/a/b.mp3"),
        tf.errors.NotFoundError(None, None, "The specified path gs://music/a was not found."),
        tf.errors.NotFoundError(None, None, "/music/a; No such file or directory"),
        tf.errors.PermissionDeniedError(None, None, "/music/a; Permission denied"),
        tf.errors.UnavailableError(None, None, "Connection reset by peer"),
        ValueError("HTTP response code 403 gs://music"),
        RuntimeError("401 GET https://storage.googleapis.com/storage/v1/b/music"),
        api.PreconditionFailed(f"{_URL}: conditionNotMet"),
        # The session of an upload has expired; the bucket exists.
        api.NotFound(
            "PUT https://storage.googleapis.com/upload/storage/v1/b/music/o?uploadType=resumable&upload_id=1: x"
        ),
    ],
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    assert translate(error) is None


def test_what_is_raised_from_an_error_of_a_bucket_is_translated() -> None:
    error = RunFailedError("the checkpoint is damaged")
    error.__cause__ = _tensorflow(503, "Backend Error", tf.errors.UnavailableError)
    with pytest.raises(RunAgainError, match="gs://music/a cannot be reached"), translated_bucket_errors():
        raise error
    with pytest.raises(RunFailedError, match="damaged"), translated_bucket_errors():
        raise RunFailedError("the checkpoint is damaged")


def test_a_loop_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert translate(first) is None
