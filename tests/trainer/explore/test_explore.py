"""`beamtune explore` as a command: its output and its errors."""

import pytest
from forked_command import run_forked
from lease_process import another_command

from beam_pipelines.common.errors import UserError
from beam_pipelines.records import schema
from configs.cli import main
from trainer.explore.config import ExploreConfig


@pytest.fixture
def directory(make_track, write_data_set):
    return write_data_set([make_track(f"{index}", label=("blues", "funk")[index % 2]) for index in range(4)])


@pytest.mark.parametrize(
    ("data_dir", "name"), [("{}", "mine"), ("{}/", "mine"), ("{}/../other", "other"), (".", "mine")]
)
def test_the_page_is_named_after_the_prepared_directory(directory, tmp_path, monkeypatch, capsys, data_dir, name):
    directory = directory.rename(tmp_path / "mine")
    (tmp_path / "other").symlink_to(directory)
    monkeypatch.chdir(directory)
    assert main(["explore", data_dir.format(directory), "example_genres=0"]) == 0
    assert capsys.readouterr().out.startswith(f"explore/{name}/index.html: ")
    assert (directory / "explore" / name / "index.html").is_file()


@pytest.mark.slow
def test_it_prints_where_the_page_and_the_events_are(directory, tmp_path):
    done = run_forked(["explore", directory], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"explore/{directory.name}/index.html: 4 tracks of 2 genres, 8 segments\n"
        f"to see the same in TensorBoard: beamtune tensorboard explore/{directory.name}/events\n"
    )
    assert done.stderr.splitlines() == [
        line for line in done.stderr.splitlines() if line.startswith(("exploring: ", "reading examples: "))
    ]
    assert (tmp_path / "explore" / directory.name / "index.html").is_file()
    assert list((tmp_path / "explore" / directory.name / "events").glob("events.out.tfevents.*"))


def test_the_directory_may_be_a_setting(directory, tmp_path, capsys):
    assert main(["explore", f"data_dir={directory}", f"output_dir={tmp_path}/page"]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/page/index.html: ")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "_SUCCESS").unlink(), "has no _SUCCESS and is not a finished data set"),
        (
            lambda path: (path / "_SUCCESS").write_text('{"schema_version": 1, "fingerprint": "x"}'),
            f"was prepared with schema version 1, and this beamtune reads version {schema.SCHEMA_VERSION}",
        ),
        (lambda path: path.rename(path.parent / "moved"), "does not exist"),
    ],
    ids=["unfinished", "older", "absent"],
)
def test_an_unfinished_data_set_is_an_error_of_one_line(directory, tmp_path, capsys, spoil, message):
    spoil(directory)
    assert main(["explore", str(directory), f"output_dir={tmp_path}/page"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"beamtune explore: {directory} {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not (tmp_path / "page").exists()


def test_an_output_dir_that_cannot_be_written_is_an_error(directory, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["explore", str(directory), f"output_dir={tmp_path}/file/page"]) == 2
    assert f"output_dir={tmp_path}/file/page cannot be written to" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_left_alone(directory, tmp_path, capsys):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("my page")
    assert main(["explore", str(directory), f"output_dir={tmp_path}/site"]) == 2
    assert "expected a new or empty folder, or one that beamtune explore has written" in capsys.readouterr().err
    assert (tmp_path / "site" / "index.html").read_text() == "my page"
    for _ in range(2):
        assert main(["explore", str(directory), f"output_dir={tmp_path}/page"]) == 0


def test_one_command_at_a_time_writes_a_page(directory, tmp_path, capsys):
    page = tmp_path / "page"
    with another_command(page) as process:
        assert main(["explore", str(directory), f"output_dir={page}", "example_genres=0"]) == 2
        assert capsys.readouterr().err.startswith(
            f"beamtune explore: output_dir={page} is in use by another command: process {process.pid} on "
        )
        process.kill()
        process.wait()
        assert main(["explore", str(directory), f"output_dir={page}", "example_genres=0"]) == 0
    assert sorted(path.name for path in page.iterdir()) == ["events", "index.html"]


def test_a_missing_directory_is_an_error(capsys):
    assert main(["explore"]) == 2
    assert capsys.readouterr().err == "beamtune explore: explore needs a prepared data set: beamtune explore DATA_DIR\n"


def test_unknown_options_are_errors(directory, capsys):
    with pytest.raises(SystemExit) as end:
        main(["explore", str(directory), "--json"])
    assert end.value.code == 2
    assert "unrecognized arguments: --json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "values",
    [
        {"output_dir": " "},
        {"data_dir": ""},
        {"seed": -1},
        {"projection_tracks": 1},
        {"example_genres": -1},
        {"batch_size": 0},
        {"example_duration_s": 0.0},
        {"example_duration_s": float("nan")},
    ],
    ids=str,
)
def test_settings_are_checked(values):
    [name] = values
    with pytest.raises(UserError, match=f"{name}=.*: expected"):
        ExploreConfig(**{"data_dir": "x", **values})
