import json
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from configs.launch.history import LaunchedJob, find_job, remember

JOBS = "projects/my-project/locations/us-central1/customJobs"
FIRST = LaunchedJob(f"{JOBS}/1", "my-project", "us-central1")
SECOND = LaunchedJob(
    "projects/77/locations/europe-west4/customJobs/23", "other-project", "europe-west4", "https://x.dev"
)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "launched-jobs.jsonl"


def test_jobs_are_found_by_last_by_number_and_by_name() -> None:
    remember(FIRST)
    remember(SECOND)
    assert find_job("last", project=None, region=None) == SECOND
    assert find_job("1", project=None, region=None) == FIRST
    assert find_job(SECOND.name, project=None, region=None) == SECOND
    assert find_job("3", project="my-project", region="us-east1").name == (
        "projects/my-project/locations/us-east1/customJobs/3"
    )
    assert find_job(f"{JOBS}/4", project=None, region=None) == LaunchedJob(f"{JOBS}/4", "my-project", "us-central1")


def test_servers_are_found_by_their_names() -> None:
    place = "projects/my-project/locations/us-central1"
    endpoint, service = f"{place}/endpoints/genres", f"{place}/services/beamtune"
    for name in (endpoint, service):
        remember(LaunchedJob(name, "my-project", "us-central1"))
    assert find_job("genres", project=None, region=None).name == endpoint
    assert find_job("last", project=None, region=None).kind == "services"
    other = find_job(f"{place}/endpoints/123", project=None, region=None)
    assert (other.kind, other.project) == ("endpoints", "my-project")
    with pytest.raises(
        UserError, match="'other' is no job: expected last, or the number of a job, .* full name of an "
    ):
        find_job("other", project="my-project", region="us-central1")


def test_a_server_of_another_project_is_never_taken_for_the_one_that_is_named() -> None:
    def server(project: str, region: str, end: str = "endpoints/beamtune") -> LaunchedJob:
        return LaunchedJob(f"projects/{project}/locations/{region}/{end}", project, region)

    production, trial = server("production", "us-central1"), server("trial-1", "us-central1")
    remember(production)
    remember(trial)
    remember(trial)
    assert find_job(production.name, project=None, region="us-central1") == production
    assert find_job("last", project="production", region="us-central1") == production
    assert find_job("beamtune", project="production", region="us-central1") == production
    assert find_job(server("new-one", "us-central1").name, project=None, region=None).project == "new-one"
    assert find_job(server("trial-1", "us-east1").name, project=None, region=None).region == "us-east1"
    with pytest.raises(UserError) as error:
        find_job("beamtune", project=None, region="us-central1")
    assert str(error.value) == f"beamtune is {production.name} and {trial.name}: give the full name"
    with pytest.raises(UserError, match="^last: no job or server was launched from this machine in new-one: "):
        find_job("last", project="new-one", region="us-central1")
    remember(server("production", "us-central1", "services/beamtune"))
    with pytest.raises(UserError, match="give the full name"):
        find_job("beamtune", project="production", region="us-central1")


@pytest.mark.parametrize("name", ["projects/mine-1/locations/evil.example#/{}", "projects/$(id)/locations/us-east1/{}"])
def test_the_parts_of_a_full_name_have_their_forms(name: str) -> None:
    """The region is a part of the address that credentials are sent to, and both are printed for a shell."""
    for end in ("customJobs/1", "endpoints/a"):
        with pytest.raises(UserError, match="is no job: expected last, "):
            find_job(name.format(end), project=None, region=None)


def test_damaged_lines_are_left_out(history: Path) -> None:
    remember(FIRST)
    with open(history, "ab") as file:
        for line in (
            *(b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"name": "x"}'),
            *(json.dumps({"name": name, "project": "p", "region": "r"}).encode() for name in (1, "../x", f"{JOBS}/x")),
        ):
            file.write(line + b"\n")
    assert find_job("last", project=None, region=None) == FIRST


def test_the_end_of_a_large_file_is_read(history: Path) -> None:
    history.parent.mkdir()
    history.write_text("x" * (2 << 20) + "\n")
    remember(SECOND)
    assert find_job("last", project=None, region=None) == SECOND


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "file"))
    remember(FIRST)
    with pytest.raises(UserError, match="last: no job or server was launched from this machine"):
        find_job("last", project=None, region=None)
