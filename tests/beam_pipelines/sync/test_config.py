import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.sync.config import SyncConfig
from configs.cli import main


@pytest.mark.parametrize(
    ("source", "destination"),
    [("music", "gs://bucket"), ("gs://bucket/", "music"), ("gs://a/x", "gs://b/x"), ("gs://a/x", "gs://a/xy")],
)
def test_one_of_both_is_in_a_bucket(source, destination):
    config = SyncConfig(source=source, destination=destination)
    assert (config.source, config.destination, config.delete) == (source, destination, False)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"source": "a", "destination": "b c"}, "a and b c are both local: expected gs:// for one of them; between"),
        ({"source": "", "destination": "gs://b"}, "source=: expected a path"),
        (
            {"source": "a", "destination": "gs://"},
            "destination=gs://: expected a local folder, or gs://BUCKET/FOLDER w",
        ),
        (
            {"source": "a", "destination": "gs:///x"},
            "destination=gs:///x: expected a local folder, or gs://BUCKET/",
        ),
        ({"source": "s3://b/x", "destination": "y"}, "source=s3://b/x: expected a local folder, or gs://BUCKET/FOLDER"),
        ({"source": "a\0", "destination": "gs://b"}, r"source='a\x00': expected a path without NUL characters"),
        ({"source": "gs://b/x", "destination": "gs://b/x/y"}, "destination=gs://b/x/y and source=gs://b/x are one"),
        ({"source": "gs://b/x/", "destination": "gs://b/x"}, "destination=gs://b/x and source=gs://b/x/ are one"),
        ({"source": "gs://b/x/y", "destination": "gs://b"}, "destination=gs://b and source=gs://b/x/y are one"),
        ({"source": "a", "destination": "gs://b", "num_workers": 0}, "num_workers=0: expected a number from 1 to 64"),
    ],
)
def test_a_wrong_value_is_one_line(settings, line):
    with pytest.raises(UserError) as caught:
        SyncConfig(**settings)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "expected a source and a destination, got 0: beamtune sync SRC DST"),
        (["music"], "expected a source and a destination, got 1: beamtune sync SRC DST"),
        (["a", "b", "gs://c"], "expected a source and a destination, got 3: beamtune sync SRC DST"),
        (["source=music"], "destination is not set: give destination=…"),
        (["music", "copy of it"], "music and copy of it are both local: expected gs:// for one of them; between two"),
        (["music", "gs://b", "delet=true"], "delet: there is no such setting; did you mean delete?"),
        (["music", "gs://b", "dry_run=true"], "dry_run: there is no such setting"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(capsys, words, line):
    assert main(["sync", *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"beamtune sync: {line}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_two_local_folders_are_answered_with_a_command_that_can_be_pasted():
    with pytest.raises(UserError, match="use rsync -a 'my music/' copy/$"):
        SyncConfig(source="my music", destination="copy")
