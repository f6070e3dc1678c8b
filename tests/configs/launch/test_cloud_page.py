"""docs/cloud.md: the way from an empty project to a served model. Each line that launches something can be launched."""

import json
import re
import shlex
from pathlib import Path
from string import Template

import pytest

from configs.cli import main

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cloud.md"
PROJECT, REGION = "my-project", "us-central1"
VARIABLES = {
    "PROJECT": PROJECT,
    "REGION": REGION,
    "BUCKET": f"gs://{PROJECT}-beamtune",
    "IMAGES": f"{REGION}-docker.pkg.dev/{PROJECT}/beamtune-images",
}
PLACE = [f"launch.project={PROJECT}", f"launch.region={REGION}"]
# What `terraform output` writes to the files of step 2, and what a search writes.
FILES = {
    **{
        f"{name}.yaml": [*PLACE, f"launch.service_account=beamtune-{account}@{PROJECT}.iam.gserviceaccount.com"]
        for name, account in (("dataflow", "launcher"), ("jobs", "trainer"), ("serve", "server"))
    },
    "prepare.yaml": [
        *("runner=dataflow", f"runner.project={PROJECT}", f"runner.region={REGION}", "runner.use_public_ips=false"),
        f"runner.temp_location={VARIABLES['BUCKET']}/temp",
        f"runner.subnetwork=regions/{REGION}/subnetworks/beamtune-machines",
        f"runner.service_account_email=beamtune-dataflow-worker@{PROJECT}.iam.gserviceaccount.com",
    ],
    "best.yaml": [f"data_dir={VARIABLES['BUCKET']}/prepared", "model=cnn2d", "model.dropout=0.3"],
}


def commands() -> list[str]:
    """Returns the lines of the walk-through that launch something, each as one."""
    text = PAGE.read_text(encoding="utf-8").partition("## Infrastructure")[0].replace("\\\n", " ")
    return re.findall(r"^ {4}(beamtune launch (?:vertex|dataflow|cloudrun) .*)$", text, re.MULTILINE)


def test_the_page_has_every_step():
    steps = [tuple(line.split()[2:4]) for line in commands()]
    assert steps == [
        ("dataflow", "prepare"),
        *[("vertex", name) for name in ("train", "tune", "train", "evaluate", "export")],
        ("cloudrun", "serve"),
    ]


@pytest.mark.parametrize("line", commands(), ids=lambda line: " ".join(line.split()[2:4]))
def test_each_step_can_be_launched(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, settings in FILES.items():
        (tmp_path / name).write_text(json.dumps(settings))
    line = line.replace("$BUCKET/searches/first/best.yaml", "best.yaml")
    assert main([*shlex.split(Template(line).substitute(VARIABLES))[1:], "--dry-run", "--json"]) == 0
    request = capsys.readouterr().out
    assert json.loads(request)
    accounts = {"dataflow prepare": "launcher", "cloudrun serve": "server"}
    account = accounts.get(" ".join(line.split()[2:4]), "trainer")
    assert f"beamtune-{account}@{PROJECT}.iam.gserviceaccount.com" in request
    assert f"{VARIABLES['IMAGES']}/beamtune-" in request
