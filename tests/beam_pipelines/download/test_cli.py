import re
import subprocess

import pytest
from python_script import script_command

from beam_pipelines.download import http_download
from beam_pipelines.download.catalog import ARCHIVES
from configs.cli import main

NAMES = "fma_small, fma_medium, fma_large, fma_full, fma_metadata, gtzan"


@pytest.fixture
def small(offer, make_zip):
    return offer(make_zip({"fma_small/000/000002.mp3": b"mp3"}))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], f"the name is missing: expected beamtune download NAME, one of {NAMES}"),
        (["fma_smal"], f"name=fma_smal: expected one of {NAMES}; did you mean fma_small?"),
        (["name=fma_metdata"], f"name=fma_metdata: expected one of {NAMES}; did you mean fma_metadata?"),
        (["small", "large"], "small large: expected one name: run the command once for each"),
        (["fma_small", "rot=x"], "rot: there is no such setting; did you mean root?"),
        (["fma_small", "root="], "root=: expected a path"),
        (["fma_small", "root=s3://bucket/fma"], "root=s3://bucket/fma: expected a local path, not an address"),
        (
            ["fma_small", "root=gs://bucket/fma"],
            "root=gs://bucket/fma: expected a local folder, because archives are extracted on a disk: download to one, "
            "then copy it: beamtune sync FOLDER gs://bucket/fma\n",
        ),
        (["gtzan", "gtzan_path=s3://x"], "gtzan_path=s3://x: expected a local path, not an address"),
        (["fma_small", "gtzan_path=x"], "gtzan_path=x: expected it with gtzan only"),
        (["fma_small", "base_url=ftp://x/"], "base_url=ftp://x/: expected an address that starts with https:// or"),
        (["fma_small", "base_url=https://"], "base_url=https://: expected an address that starts with"),
        (["gtzan"], "gtzan cannot be downloaded: its original server is offline and the rights to the music are not"),
        (
            ["gtzan", "gtzan_path=/absent"],
            "gtzan_path=/absent: no such file or folder: expected a folder or an archive",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    assert main(["download", *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"beamtune download: {line}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_it_prints_no_tables(capsys, option):
    with pytest.raises(SystemExit):
        main(["download", "fma_small", option])
    assert capsys.readouterr().err == f"beamtune download: unrecognized arguments: {option}\n"


@pytest.mark.parametrize("words", [["fma_small", "{}"], ["{}", "fma_small"], ["name=fma_small", "{}"]])
def test_the_name_may_be_anywhere(tmp_path, server, small, capsys, words):
    words = [word.format(f"root={tmp_path}/fma") for word in words]
    assert main(["download", *words, f"base_url={server.url}"]) == 0
    assert (tmp_path / "fma" / "fma_small" / "000" / "000002.mp3").read_bytes() == b"mp3"
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/fma/fma_small: {small.description}",
        f"next: beamtune download fma_metadata root={tmp_path}/fma",
    ]


def test_the_settings_can_be_shown(capsys):
    assert main(["download", "fma_small", "--show-config"]) == 0
    assert capsys.readouterr().out == (
        "name: fma_small\nroot: data/fma\nbase_url: https://os.unil.cloud.switch.ch/fma/\n"
        "keep_archive: false\ngtzan_path: null\n"
    )


def test_a_missing_server_is_a_failed_run(tmp_path, server, small, capsys, monkeypatch):
    waits_s = []
    monkeypatch.setattr(http_download.time, "sleep", waits_s.append)
    server.http_server.shutdown()
    server.http_server.server_close()
    assert main(["download", "fma_small", f"root={tmp_path}/fma", f"base_url={server.url}"]) == 1
    *retries, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"beamtune download: {server.url}/fma_small.zip cannot be downloaded \(.*Connection refused\): run the same "
        r"command to resume after 0.0 MiB",
        last,
    )
    assert waits_s == [1, 2, 4, 8, 16, 30, 30]
    assert [line.rpartition("; ")[2] for line in retries] == [f"trying again in {wait_s:.0f} s" for wait_s in waits_s]


def test_a_missing_file_is_named_with_its_address(tmp_path, server, small, capsys):
    server.always(status=404)
    assert main(["download", "fma_small", f"root={tmp_path}/fma", f"base_url={server.url}"]) == 2
    assert capsys.readouterr().err == (
        f"beamtune download: {server.url}/fma_small.zip answered with status 404 Not Found: expected a file there; "
        "check the address, which base_url=… changes\n"
    )


def test_help_lists_the_archives(capsys):
    with pytest.raises(SystemExit) as end:
        main(["download", "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert out.startswith("usage: beamtune download NAME [key=value …] [options]\n")
    for name, archive in ARCHIVES.items():
        assert re.search(rf"^ *(names:)? +{name} .*{archive.description.split(',')[0]}", out, re.MULTILINE)
    assert "--json" not in out


@pytest.mark.slow
def test_help_imports_nothing_that_downloads():
    script = (
        "import sys\nfrom configs.cli import main\n"
        "try:\n    main(['download', '--help'])\n"
        "except SystemExit:\n"
        "    print([name for name in sys.modules if name.startswith(('requests', 'beam_pipelines.download'))])\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.slow
def test_it_runs_as_a_process(beamtune, tmp_path):
    (tmp_path / "copy" / "blues").mkdir(parents=True)
    (tmp_path / "copy" / "blues" / "blues.00000.au").touch()
    done = beamtune("download", "gtzan", f"gtzan_path={tmp_path}/copy")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:2] == ["genre      clips  missing", "blues          1  00001-00099"]
    assert done.stderr.startswith(f"beamtune download: {tmp_path}/copy: 999 clips missing (blues.00001, ")
    assert done.stderr.count("\n") == 1
