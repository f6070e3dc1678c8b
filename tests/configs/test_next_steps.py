"""What a command prints at its end: the commands that may follow."""

from pathlib import Path

import pytest
from prepared_data import write_prepared_data

from beam_pipelines.common.terminal import duration_in_words, kept_from_earlier, next_steps
from configs.cli import main
from configs.next_steps import after_prepare, after_train, name_of
from trainer.data.prepared import open_prepared
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig


def test_next_steps_are_quoted_for_a_shell() -> None:
    assert next_steps(["evaluate", "run_dir=runs/my run"], ["tensorboard", "runs/my run"], ["export", "it's"]) == [
        "next: beamtune evaluate 'run_dir=runs/my run'",
        "  or: beamtune tensorboard 'runs/my run'",
        """  or: beamtune export 'it'"'"'s'""",
    ]
    assert next_steps(["serve", "a\n\x1b[31mb"]) == ["next: beamtune serve 'a\\n\\x1b[31mb'"]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (["mfcc", "log_mel"], ["train", "data_dir=d", "run_dir=runs/d"]),
        (["mfcc"], ["train", "data_dir=d", "run_dir=runs/d", "model=bilstm"]),
        (["waveform"], ["train", "data_dir=d", "run_dir=runs/d", "model=wave1d"]),
        (["spectral_stats"], ["baselines", "data_dir=d", "feature=spectral_stats"]),
    ],
)
def test_prepared_data_are_trained_on_by_a_model_that_takes_their_features(
    features: list[str], words: list[str]
) -> None:
    assert after_prepare("d", features) == words


@pytest.mark.parametrize(
    ("splits", "steps"),
    [
        (("train", "test"), [["evaluate", "run_dir={}"], ["tensorboard", "{}"]]),
        (("train",), [["predict", "{}", "song.mp3"], ["serve", "{}"]]),
    ],
)
def test_a_run_is_evaluated_only_where_there_is_a_test_split(
    tmp_path: Path, splits: tuple[str, ...], steps: list[list[str]]
) -> None:
    shards = {name: [[b"an example"]] for name in splits}
    data = write_prepared_data(tmp_path / "data", shards, specs=[], labels=["a"], tracks=[], config={})
    run = RunDir(str(tmp_path / "run"))
    run.start(TrainConfig(run_dir=run.path, data_dir=str(data)), open_prepared(str(data)))
    assert list(after_train(run.path)) == [[word.format(run.path) for word in words] for words in steps]


def test_a_hint_asks_no_bucket_and_does_not_fail_where_the_data_cannot_be_read(tmp_path: Path) -> None:
    for path in ("gs://no-such-bucket-of-beamtune/run", str(tmp_path)):
        assert list(after_train(path)) == [["evaluate", f"run_dir={path}"], ["tensorboard", path]]


@pytest.mark.parametrize(("path", "name"), [("runs/a", "a"), ("runs/a/", "a"), ("gs://b/runs/a", "a"), ("/", "mine")])
def test_what_is_made_of_a_result_has_its_name(path: str, name: str) -> None:
    assert name_of(path) == name


def test_one_is_singular() -> None:
    assert kept_from_earlier(1, 24, "shard") == "kept from earlier: 1 of 24 shards"
    assert kept_from_earlier(1, 1, "shard") == "kept from earlier: 1 of 1 shard"


@pytest.mark.parametrize(
    ("duration_s", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h")]
)
def test_durations_have_the_unit_of_their_size(duration_s: float, text: str) -> None:
    assert duration_in_words(duration_s) == text


def test_a_command_says_on_a_terminal_what_it_loads_before_it_reads_its_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["train", "epoch=3"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "loading TensorFlow …",
        "beamtune train: epoch: there is no such setting; did you mean epochs?",
    ]
