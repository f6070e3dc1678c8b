"""What is asked of buckets before the work begins."""

import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common import bucket_access
from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.errors import UserError

ONLY_GET = Faults(granted=("storage.objects.get",))
NO_LIST = "lacks the permission storage.objects.list"


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    bucket_access._readable.clear()
    bucket_access._writable.clear()
    yield
    bucket_access._readable.clear()
    bucket_access._writable.clear()


def test_a_file_that_may_be_read_and_not_listed_is_readable(gcs_here: Gcs) -> None:
    gcs_here.write("music/a.mp3", b"a")
    gcs_here.set_faults(ONLY_GET)
    check_access(read=[f"{gcs_here.url}/music/a.mp3"])
    assert [record.kind for record in gcs_here.requests() if record.kind != "token"] == ["list", "stat"]


@pytest.mark.parametrize("name", ["/music", "/music/absent.mp3"])
def test_a_folder_and_a_missing_file_need_the_permission_to_list(gcs_here: Gcs, name: str) -> None:
    gcs_here.write("music/a.mp3", b"a")
    gcs_here.set_faults(ONLY_GET)
    path = f"{gcs_here.url}{name}"
    with pytest.raises(UserError, match=f"^there is no object {path}; to read it as a folder: {path}: .* {NO_LIST}"):
        check_access(read=[path])
    with pytest.raises(UserError, match=NO_LIST):
        check_access(read=[f"gs://{gcs_here.bucket}"])


def test_who_has_no_permission_lacks_that_to_list(gcs_here: Gcs) -> None:
    gcs_here.set_faults(Faults(granted=()))
    with pytest.raises(UserError, match=f"^{gcs_here.url}: .* {NO_LIST}"):
        check_access(read=[gcs_here.url])


def test_a_readable_folder_takes_one_request_once(gcs_here: Gcs) -> None:
    gcs_here.write("music/a.mp3", b"a")
    for _ in range(2):
        check_access(read=[f"{gcs_here.url}/music", f"{gcs_here.url}/music"])
    assert [record.kind for record in gcs_here.requests() if record.kind != "token"] == ["list"]


def test_a_folder_that_may_be_written_takes_one_request_and_makes_nothing(gcs_here: Gcs) -> None:
    for _ in range(2):
        check_access(read=[f"{gcs_here.url}/out"], written=[f"{gcs_here.url}/out"])
    assert [record.kind for record in gcs_here.requests() if record.kind != "token"] == ["insert"]
    assert gcs_here.contents() == {}


def test_local_paths_are_not_asked_for(gcs_here: Gcs) -> None:
    check_access(read=["/data", "data"], written=["/runs/a"])
    assert gcs_here.requests() == []


def test_a_path_without_a_bucket_is_refused(gcs_here: Gcs) -> None:
    with pytest.raises(UserError, match="gs:///music names no bucket: expected gs://BUCKET/PATH"):
        check_access(read=["gs:///music"])


@pytest.mark.usefixtures("without_client")
def test_without_the_client_a_missing_bucket_is_named_and_another_one_passes(gcs_here: Gcs) -> None:
    check_access(read=[f"{gcs_here.url}/a", f"{gcs_here.url}/b"], written=[f"{gcs_here.url}/run"])
    [record] = gcs_here.requests()
    assert (record.kind, record.status) == ("list", 401)  # no credentials are sent
    nowhere = "gs://no-such-bucket-of-beamtune"
    expected = f"^{nowhere}/run: the bucket {nowhere} does not exist: check the name, or create it: gcloud storage "
    with pytest.raises(UserError, match=expected):
        check_access(read=[gcs_here.url], written=[f"{nowhere}/run"])


@pytest.mark.usefixtures("without_client")
@pytest.mark.parametrize("fault", ["cut_before", "unavailable", "truncated"])
def test_without_the_client_no_answer_is_no_missing_bucket(gcs_here: Gcs, fault: str) -> None:
    gcs_here.set_faults(replace(Faults(), **{f"{fault}_share": 1.0}))
    check_access(written=[f"{gcs_here.url}/run"])


@pytest.fixture
def without_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)


@pytest.mark.parametrize("options", [{"read": ["gs://music/a"]}, {"written": ["gs://music/a"]}])
def test_without_credentials_and_network_the_credentials_are_named(
    gcs_here: Gcs, monkeypatch: pytest.MonkeyPatch, options: dict[str, list[str]]
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        expected = "^gs://music/a cannot be accessed, because there are no credentials for Google Cloud: gcloud auth "
        with pytest.raises(UserError, match=expected):
            check_access(**options)
