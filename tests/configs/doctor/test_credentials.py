"""Where credentials for gs:// are found, without printing them."""

import json

import pytest

from configs.doctor.credentials import find_credentials
from configs.doctor.findings import BROKEN, MISSING, OK, Finding

KEY = {"type": "service_account", "private_key": "SECRET", "client_email": "SECRET"}


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(KEY))
    return path


@pytest.fixture
def gcloud_file(tmp_path):
    path = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"type": "authorized_user", "refresh_token": "SECRET"}))
    return path


def test_none(tmp_path):
    assert find_credentials({"HOME": str(tmp_path)}) == Finding(
        *("gs://", "credentials", MISSING),
        "none in files and variables (a machine of Google Cloud has those of its service account)",
        fix="gcloud auth application-default login",
    )


def test_a_key_comes_before_the_file_of_gcloud_and_is_not_printed(tmp_path, key, gcloud_file):
    found = find_credentials({"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": str(key)})
    assert found == Finding("gs://", "credentials", OK, f"service_account, from GOOGLE_APPLICATION_CREDENTIALS: {key}")


def test_the_file_of_gcloud(tmp_path, gcloud_file):
    expected = f"authorized_user, from gcloud's file: {gcloud_file}"
    assert find_credentials({"HOME": str(tmp_path)}).found == expected
    moved = {"HOME": "/nowhere", "CLOUDSDK_CONFIG": str(gcloud_file.parent)}
    assert find_credentials(moved) == Finding("gs://", "credentials", OK, expected)


def test_the_metadata_server_is_known_by_its_variables(tmp_path):
    found = find_credentials({"HOME": str(tmp_path), "GCE_METADATA_HOST": "192.0.2.1"})
    assert found == Finding("gs://", "credentials", OK, "from the metadata server, GCE_METADATA_HOST is set")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("SECRET", "it is not JSON"),
        ('{"type": "SECRET"}', "it is no file of credentials"),
        ('["SECRET"]', "it is no file of credentials"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_holds_no_credentials_is_broken_and_not_printed(tmp_path, content, problem):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    assert find_credentials({"HOME": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": str(path)}) == Finding(
        *("gs://", "credentials", BROKEN, f"GOOGLE_APPLICATION_CREDENTIALS: {path}: {problem}"),
        expected="a JSON file of credentials",
        fix="export GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json, or unset it",
    )
