"""`beamtune prepare --dry-run`: what it foretells, held against what the run then makes."""

import json
import re

from configs.cli import main

FAST = ["segment.duration_s=1", "segment.hop_s=1", "features=[log_mel,mfcc]", "shards.min_shards=2"]


def test_it_writes_nothing_and_foretells_what_the_run_makes(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music", ending="mp3")
    out = tmp_path / "out"
    command = ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={out}", *FAST]
    assert main([*command, "--dry-run"]) == 0
    foretold = capsys.readouterr().out
    assert not out.exists()
    assert re.search(r"log_mel +\(32, 128\) +float16 +8,192 ", foretold)
    assert re.search(r"mfcc +\(32, 20\) +float16 +1,280 ", foretold)
    assert re.search(r"train +8 +\d+ +2 ", foretold)
    assert re.search(r"one clip: genre\d/artist\d/\d\.mp3, 4\.\d s of audio, 4 segments, \d+ s of audio a", foretold)
    assert "leaky" not in foretold

    assert main(command) == 0
    shapes = json.loads((out / "features.json").read_text())["featuresDict"]["features"]
    assert shapes["log_mel"]["tensor"]["shape"] == {"dimensions": ["32", "128"]}
    assert len(list(out.glob("*-train.tfrecord-*"))) == 2


def test_clips_that_cannot_be_used_are_passed_over(make_collection, tmp_path, capsys):
    music = make_collection(tmp_path / "music")
    for path in list(music.glob("*/artist[12]/*.wav")):
        path.write_bytes(b"no audio")
    assert main(["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]) == 0
    assert "one clip: " in capsys.readouterr().out
    for path in music.rglob("*.wav"):
        path.write_bytes(b"no audio")
    assert main(["prepare", "dataset=folder", f"dataset.root={music}", *FAST, "--dry-run"]) == 1
    assert "none of the first 16 tracks can be used; the last is" in capsys.readouterr().err


def test_other_commands_have_no_dry_run(capsys):
    try:
        main(["train", "--dry-run"])
    except SystemExit as end:
        assert end.code == 2
    assert "--dry-run" in capsys.readouterr().err
