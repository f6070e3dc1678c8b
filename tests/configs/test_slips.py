import pytest

from configs.cli import main


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A working folder with music, a prepared directory and a run."""
    monkeypatch.chdir(tmp_path)
    for name in ("My Music/rock", "music", "data", "prepared", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "My Music/a.flac").write_text("")
    (tmp_path / "run/config.yaml").write_text("")
    (tmp_path / "prepared/dataset_info.json").write_text("")


@pytest.mark.parametrize(
    ("words", "corrected"),
    [
        (
            ["prepare", "My Music", "output_dir=p"],
            "prepare dataset=folder 'dataset.root=My Music' output_dir=p",
        ),
        (["prepare", "dataset=folder", "/absent/music"], "prepare dataset=folder dataset.root=/absent/music"),
        (["prepare", "tracks.csv"], "prepare dataset=csv dataset.path=tracks.csv"),
        (["train", "data", "run_dir=r"], "train data_dir=data run_dir=r"),
        (["train", "run"], "train run_dir=run"),
        (["tune", "data", "--dry-run"], "tune data_dir=data --dry-run"),
        (["evaluate", "gs://b/run"], "evaluate run_dir=gs://b/run"),
        (["convert", "My Music"], "convert 'source=My Music'"),
        (["train", "data_dir=data", "--epochs", "10"], "train data_dir=data epochs=10"),
        (["launch", "vertex", "train", "--epochs", "10"], "launch vertex train epochs=10"),
        (["launch", "vertex", "train", "--launch.machine=l4"], "launch vertex train launch.machine=l4"),
        (["launch", "vertex", "../train", "--launch.again"], "launch vertex ../train launch.again=true"),
        (["train", "--data-dir=data"], "train data_dir=data"),
        (["train", "--optimizer.learning_rate", "0.1"], "train optimizer.learning_rate=0.1"),
        (["prepare", "--overwrite"], "prepare overwrite=true"),
        (["prepare", "--overwrite", "seed=1"], "prepare overwrite=true seed=1"),
        (["train", "--model", "crnn"], "train model=crnn"),
        (["predict", "run", "a.mp3", "--top-k", "2"], "predict run a.mp3 top_k=2"),
        (["train", "data_dir", "=", "data", "seed=1"], "train data_dir=data seed=1"),
        (["train", "data_dir=", "data"], "train data_dir=data"),
        (["train", "data_dir", "=data"], "train data_dir=data"),
        (["train", "data_dir", "data", "seed=1"], "train data_dir=data seed=1"),
        (["predict", "run", "a.mp3", "--topk", "2"], "predict run a.mp3 top_k=2"),
        (["predict", "song.mp3", "run"], "predict run song.mp3"),
        (["predict", __file__, "run", "b.mp3", "top_k=2"], f"predict run {__file__} b.mp3 top_k=2"),
        (["tag", "a.mp3", "run", "write=true"], "tag run a.mp3 write=true"),
        (["prepare", "features=[log_mel,", "mfcc]", "seed=1"], "prepare 'features=[log_mel,mfcc]' seed=1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_refused_with_the_corrected_command(words, corrected, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"beamtune {words[0]}: ")
    assert captured.err.endswith(f"; did you mean: beamtune {corrected}\n")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "seed"], "'seed' is not a setting: expected key=value, e.g. seed=1"),
        (["train", "data_dir="], "data_dir=: expected a path"),
        (["train", "epochs=0"], "epochs=0: expected a whole number"),
        (["train", "epochs=viele"], "epochs=viele: expected a whole number\n"),
        (["train", "optimizer.learning_rate=0,001"], "optimizer.learning_rate=0,001: expected a number: write 0.001\n"),
        (["train", "optimizer.learning_rate=x"], "optimizer.learning_rate=x: expected a number\n"),
        (["compare", "run", "sort=acc"], "duration; did you mean accuracy?\n"),
        (
            ["train", "run_dir=x/${y}"],
            r"run_dir=x/${y}: Interpolation key 'y' not found: ${…} refers to another setting",
        ),
        (["prepare", "features=mfcc,log_mel"], "features=mfcc,log_mel: expected a list: 'features=[mfcc,log_mel]'"),
        (
            ["prepare", "dataset=folder", "dataset.root=https://b.c/d"],
            "dataset.root=https://b.c/d is a web address: dow",
        ),
        (["predict", "run", "http://b.c/d.mp3"], "http://b.c/d.mp3 is a web address: download the files first, and"),
        (["evaluate", "run_dir=absent"], "absent does not exist: expected the run_dir of beamtune train"),
        (["train", "data_dir=absent"], "absent does not exist: prepare a data set there first (beamtune prepare), or"),
        (
            ["train", "data_dir=music"],
            "prepare dataset=folder dataset.root=music output_dir=…, and give that folder as",
        ),
        (["tensorboard", "prepared"], "prepared is a prepared data set, which has no curves: give folders of runs"),
        (["tune", "status"], "expected beamtune tune status SEARCH_DIR"),
        (["tune", "status", "absent/search"], "absent/search"),
        (
            ["prepare", "dataset=folder", "dataset.root=/a[b", "segment.hop_s=x]"],
            "segment.hop_s='x]': expected a number\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_other_mistakes_keep_their_message(words, message, capsys):
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "did you mean: " not in err


def test_an_unknown_option_stays_one(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "--fast"])
    assert end.value.code == 2
    assert "unrecognized arguments: --fast" in capsys.readouterr().err
