"""What a launch on Kubernetes asks of kubectl."""

import io
import json
import sys
from pathlib import Path

import pytest
import yaml
from fake_programs import FakePrograms
from kubernetes_launch import SERVE, TRAIN, TUNE, launch

from configs.launch import data_checks


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A kubectl that knows no Jobs. Buckets are not looked at."""
    programs = FakePrograms(tmp_path / "bin")
    answer_with_jobs(programs, {})
    monkeypatch.setenv("PATH", str(programs.folder))
    monkeypatch.setattr(data_checks, "check_data", lambda launched: "data-1")
    return programs


def answer_with_jobs(programs: FakePrograms, conditions: dict[str, str | None]) -> None:
    """Sets the Jobs that kubectl knows: by name the type of their condition that is true, None for none."""
    items = [
        {
            "metadata": {"name": name},
            "status": {} if kind is None else {"conditions": [{"type": kind, "status": "True"}]},
        }
        for name, kind in conditions.items()
    ]
    programs.install(
        "kubectl", {"get": (json.dumps({"items": items}), "", 0), "apply": ("created\n", "", 0), "delete": ("", "", 0)}
    )


def test_manifests_are_applied_once(kubectl: FakePrograms, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("launch.namespace=music", "launch.context=home")
    words = (*TRAIN, "launch.replicas=2", *place)
    assert launch(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert kubectl.calls() == []
    assert launch(*words, "--yes") == 0
    captured = capsys.readouterr()
    assert captured.out == "created\n"
    key = yaml.safe_load(shown.partition("---")[0])["metadata"]["labels"]["beamtune-launch"]
    options = ["--context=home", "--namespace=music"]
    assert kubectl.calls() == [
        ("kubectl", ["get", "jobs", "--selector", f"beamtune-launch={key}", "--output", "json", *options], ""),
        ("kubectl", ["apply", "-f", "-", *options], shown),
    ]
    name = f"beamtune-train-{key[:10]}"
    assert captured.err.splitlines()[-3:] == [
        f"kubectl --namespace=music get jobs,pods --selector=app.kubernetes.io/instance={name}",
        f"kubectl --namespace=music logs --selector=app.kubernetes.io/instance={name} --prefix --follow",
        f"kubectl --namespace=music delete job,service,networkpolicy --selector=app.kubernetes.io/instance={name}"
        "  # what is saved is kept",
    ]
    answer_with_jobs(kubectl, {name: None})
    assert launch(*words, "--yes") == 0
    assert capsys.readouterr().out == (f"{name} runs: it has the same command and settings, and is not started again\n")
    assert launch(*words, "launch.again=true", "--yes") == 0
    assert [words[0] for _, words, _ in kubectl.calls()] == ["get", "apply", "get", "get"]


@pytest.mark.parametrize(
    ("condition", "again", "actions"),
    [
        ("Complete", False, ["get"]),
        ("Complete", True, ["get", "delete", "apply"]),
        ("SuccessCriteriaMet", False, ["get"]),
        ("Failed", False, ["get", "delete", "apply"]),
    ],
)
def test_a_job_that_has_ended(kubectl: FakePrograms, condition: str, again: bool, actions: list[str]) -> None:
    answer_with_jobs(kubectl, {"one": condition})
    assert launch(*TRAIN, *(["launch.again=true"] if again else []), "--yes") == 0
    assert [words[0] for _, words, _ in kubectl.calls()] == actions


def test_a_service_is_applied_each_time(kubectl: FakePrograms, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert launch(*SERVE, "launch.name=genres", "--yes") == 0
    assert [words[0] for _, words, _ in kubectl.calls()] == ["apply", "apply"]
    assert "kubectl --namespace=default rollout status deployment/genres" in capsys.readouterr().err


def test_data_in_buckets_are_checked_first(kubectl: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(data_checks, "check_data", lambda launched: checked.append(launched.name))
    assert launch(*TRAIN, "--yes") == 0
    assert launch(*TUNE, "--yes") == 0
    assert checked == ["train"]


def test_without_a_terminal_nothing_is_applied(
    kubectl: FakePrograms, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert launch(*TRAIN) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("add --yes")
    assert [words[0] for _, words, _ in kubectl.calls()] == ["get"]


def test_what_kubectl_refuses_is_one_line(kubectl: FakePrograms, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl.install("kubectl", {"get": ("", "error: no such host\nmore\n", 1)})
    assert launch(*TRAIN, "--yes") == 2
    assert capsys.readouterr().err == "beamtune launch: kubectl get has failed: error: no such host more\n"
    kubectl.install("kubectl", {"get": ("[]", "", 0)})
    assert launch(*TRAIN, "--yes") == 2
    assert capsys.readouterr().err == "beamtune launch: kubectl get has not printed a list of Jobs (TypeError)\n"


def test_without_kubectl_a_line_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch(*TRAIN, "--yes") == 2
    assert capsys.readouterr().err == (
        "beamtune launch: kubectl is not on PATH: install it, or apply what --dry-run prints where it is\n"
    )
