"""`beamtune sync` on the emulator where rights, credentials, a bucket, the client or the service are missing."""

import sys

import pytest
from gcs.faults import Faults
from gcs.permissions import ROLES

pytestmark = pytest.mark.slow

ADMIN = tuple(sorted(ROLES["roles/storage.objectAdmin"]))
VIEWER = tuple(sorted(ROLES["roles/storage.objectViewer"]))


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(granted=()), "lacks the permission storage.objects.create"),
        (Faults(granted=VIEWER), "lacks the permission storage.objects.create"),
        (Faults(credentials="refused"), "gcloud auth application-default login"),
        (Faults(credentials="expired"), "gcloud auth application-default login"),
    ],
    ids=["nothing", "objectViewer", "refused", "expired"],
)
def test_what_is_not_allowed_is_one_line_that_says_what_to_type(gcs, sync, music, faults, words):
    gcs.set_faults(faults)
    line = sync(music, gcs.url, exit_code=2)
    assert words in line and line.count("\n") == 1
    gcs.set_faults(Faults())
    assert gcs.contents() == {}


def test_a_missing_bucket_is_one_line(gcs, sync, music, tmp_path):
    for words in ([music, "gs://there-is-no-such-bucket/x"], ["gs://there-is-no-such-bucket/x", tmp_path / "x"]):
        line = sync(*words, exit_code=2)
        assert "gcloud storage buckets create gs://there-is-no-such-bucket" in line and line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_the_roles_that_the_documentation_names_are_enough(gcs, sync, music, tmp_path):
    gcs.set_faults(Faults(granted=ADMIN))
    sync(music, gcs.url)
    gcs.write("extra.mp3", b"x")
    sync(music, gcs.url, "delete=true")
    gcs.set_faults(Faults(granted=VIEWER))
    assert sync(music, gcs.url, "delete=true", "--dry-run").startswith("0 files would be uploaded")
    sync(gcs.url, tmp_path / "x")
    assert (tmp_path / "x" / "big.wav").read_bytes() == (music / "big.wav").read_bytes()
    assert not [record for record in gcs.requests() if record.status == 403]


def test_an_outage_ends_with_exit_code_75_and_the_same_command_resumes(gcs, sync, music):
    gcs.set_faults(Faults(name_pattern=r"\.mp3", unavailable_share=1.0))
    assert "run the same command again" in sync(music, gcs.url, "storage.retry_deadline_s=2", exit_code=75)
    gcs.set_faults(Faults())
    sync(music, gcs.url)
    assert len(gcs.contents()) == 5


def test_without_the_client_its_extra_is_named(sync, gcs, music, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    line = sync(music, gcs.url, exit_code=2)
    assert "google.cloud.storage, which is not installed: pip install 'beamtune[cloud]' (beamtune doctor shows" in line
