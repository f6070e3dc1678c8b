import json
from pathlib import Path

import pytest

from beam_pipelines.common import bucket_client


def test_credentials_without_a_project_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gcloud auth application-default login` writes such a file, and no project."""
    credentials = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "credentials.json").write_text(json.dumps(credentials), encoding="utf-8")
    for name in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    bucket_client.client.cache_clear()
    try:
        assert bucket_client.client().bucket("music").blob("a.mp3").path == "/b/music/o/a.mp3"
    finally:
        bucket_client.client.cache_clear()
