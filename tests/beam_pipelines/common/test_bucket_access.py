"""What is asked of buckets before the work begins."""

from collections.abc import Iterator

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
    with pytest.raises(UserError, match=NO_LIST):
        check_access(read=[f"{gcs_here.url}{name}"])
    with pytest.raises(UserError, match=NO_LIST):
        check_access(read=[f"gs://{gcs_here.bucket}"])


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
