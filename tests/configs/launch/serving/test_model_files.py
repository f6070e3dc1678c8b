"""What a model in a bucket is known by, on the emulator."""

import pytest
from gcs.fixture import Gcs

from beam_pipelines.common.errors import UserError
from configs.launch.serving.model_files import files_key
from configs.launch.serving.served import Served, served_command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("gcs_here")]


def model(gcs: Gcs, name: str) -> Served:
    return served_command([f"{gcs.url}/{name}"], [])


def test_the_files_of_an_export_or_a_finished_run_are_known_by_their_content(gcs: Gcs) -> None:
    for folder, files in (("export", ("export.json", "saved_model/x")), ("run", ("config.yaml", "_SUCCESS", "w"))):
        for name in files:
            gcs.write(f"{folder}/{name}", b"1")
        first = files_key(model(gcs, folder))
        gcs.clear_requests()
        assert files_key(model(gcs, f"{folder}/")) == first
        assert {record.method for record in gcs.requests() if record.kind != "token"} == {"GET"}
        gcs.write(f"{folder}/{files[-1]}", b"2")  # of the same size
        changed = files_key(model(gcs, folder))
        gcs.write(f"{folder}/more", b"")
        assert len({first, changed, files_key(model(gcs, folder))}) == 3
    # What evaluate adds to a run is no part of its model.
    before = files_key(model(gcs, "run"))
    for name in ("metrics.json", "predictions-test.csv", "evaluate-test.yaml", "train/events.out.tfevents.1"):
        gcs.write(f"run/{name}", b"1")
    assert files_key(model(gcs, "run")) == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), ": there is nothing: beamtune sync copies files there"),
        (("config.yaml", "checkpoints/1"), " is a run that is not finished: the same beamtune train resumes it"),
        (("saved_model/x",), " is no run and no finished export: expected what beamtune train or export has written"),
    ],
)
def test_what_is_not_finished_is_not_served(gcs: Gcs, names: tuple[str, ...], message: str) -> None:
    for name in names:
        gcs.write(f"model/{name}", b"1")
    with pytest.raises(UserError) as error:
        files_key(model(gcs, "model"))
    assert str(error.value) == f"{gcs.url}/model{message}"
