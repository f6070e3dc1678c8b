"""The manifests of `beamtune launch kubernetes` fit the schemas of Kubernetes, and are those in infra/kubernetes."""

import io
import re
import shlex
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from terraform_runs import tool
from terraform_schema import REPOSITORY

from beam_pipelines.common.errors import UserError
from configs.cli import main
from configs.launch.kubernetes import plan as plans
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.launch import to_yaml
from configs.launch.launched import LAUNCHABLE, Launched, launched_command

EXAMPLES = REPOSITORY / "infra" / "kubernetes"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/kustomization.yaml"))
IMAGE = "registry.example/music/beamtune:0.1.0"
WORDS: dict[str, tuple[list[str], list[str]]] = {
    "prepare": ([], ["dataset=folder", "dataset.root=/data/music", "output_dir=/data/out"]),
    "convert": ([], ["source=/data/music", "output_dir=/data/out"]),
    "train": ([], ["data_dir=/data/prepared", "run_dir=/data/run"]),
    "tune": ([], ["data_dir=/data/prepared", "search_dir=/data/search"]),
    "evaluate": ([], ["run_dir=/data/run"]),
    "baselines": ([], ["data_dir=/data/prepared", "output_dir=/data/out"]),
    "crossval": ([], ["data_dir=/data/prepared", "output_dir=/data/out"]),
    "predict": (["/data/run", "/data/music"], ["output=/data/out.csv"]),
    "export": (["/data/run"], ["output_dir=/data/out"]),
    "serve": (["/data/run"], []),
}
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HF_TOKEN",
    "TF_CONFIG",
    "MLFLOW_TRACKING_PASSWORD",
)


def validate(folder: Path) -> None:
    """Checks all manifests of a folder."""
    files = sorted(map(str, folder.glob("*.yaml")))
    assert files
    words = [tool("kubernetes-validate"), "--strict", "--quiet", *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@cache
def command(name: str) -> Launched:
    paths, words = WORDS[name]
    return launched_command(name, paths, words, check_path=lambda path, key: None, has_services=True)


CONFIGS = st.fixed_dictionaries(
    {
        "replicas": st.sampled_from([1, 2, 5]),
        "accelerators": st.sampled_from([0, 1, 2]),
        "accelerator_resource": st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]),
        "cpu": st.sampled_from(["4", "0.5", "1500m"]),
        "memory": st.sampled_from(["512Mi", "64Gi"]),
        "shared_memory": st.sampled_from([None, "256Mi"]),
        "max_replicas": st.sampled_from([2, 8]),
        "token_secret": st.just("token"),
    },
    optional={
        "name": st.sampled_from(["genres", "a"]),
        "service_account": st.sampled_from(["trainer", "a.b"]),
        "priority_class": st.just("low"),
        "image_pull_secrets": st.just(["pull"]),
        "node_selector": st.sampled_from([{"gpu": "true"}, {"cloud.google.com/gke-accelerator": "nvidia-l4"}]),
        "tolerations": st.lists(st.sampled_from(["a", "a=b", "a/b=c:NoSchedule", "d:NoExecute"]), max_size=3),
        "volumes": st.sampled_from([{"/data": "music"}, {"/data": "music:a/b:ro", "/runs": "music", "/x": "other"}]),
        "environment": st.sampled_from([{"NCCL_DEBUG": "$(HOME)"}, {"TF_A": "1", "OMP_NUM_THREADS": "no"}]),
        "labels": st.sampled_from([{"team": "music"}, {"example.com/team": "0"}]),
    },
)


def test_each_command_is_checked() -> None:
    assert set(WORDS) == set(LAUNCHABLE)


@pytest.mark.parametrize("name", WORDS)
def test_every_accepted_launch_is_valid_and_has_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in SECRETS:
        monkeypatch.setenv(variable, "sesame-of-this-machine")
    # The command is composed once: what differs here is where it runs.
    monkeypatch.setattr(plans, "launched_command", lambda name, *_, **__: command(name))

    @settings(max_examples=15, deadline=None)
    @given(values=CONFIGS)
    @example(values={"token_secret": "token"})
    def render(values: dict[str, Any]) -> None:
        config = KubernetesLaunchConfig(image=IMAGE, **values)
        try:
            plan = plans.make_kubernetes_plan(config, name, *WORDS[name])
        except UserError as error:
            assert values != {"token_secret": "token"}
            assert "expected" in str(error) and "\n" not in str(error)
            return
        text = to_yaml(plan.manifests)
        assert list(yaml.safe_load_all(text)) == list(plan.manifests)
        assert "sesame" not in text and "kind: Secret" not in text
        (tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml").write_text(text)

    render()
    validate(tmp_path)


def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    text = (EXAMPLES / "train" / "train.yaml").read_text(encoding="utf-8")
    assert "\n  backoffLimit: " in text
    (tmp_path / "train.yaml").write_text(text.replace("\n  backoffLimit: ", "\n  backofLimit: "))
    with pytest.raises(AssertionError, match="'backofLimit' was unexpected"):
        validate(tmp_path)


def test_there_are_examples() -> None:
    assert NAMES == ["serve", "train", "tune"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_what_its_first_line_prints(name: str) -> None:
    text = (EXAMPLES / name / f"{name}.yaml").read_text(encoding="utf-8")
    comment, manifests = text.split("\n", maxsplit=1)
    words = shlex.split(comment.removeprefix("# "))
    assert words[:2] == ["beamtune", "launch"] and words[-1] == "--dry-run"
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()):
        assert main(words[1:]) == 0
    assert without_hashes(manifests) == without_hashes(printed.getvalue())


def without_hashes(text: str) -> str:
    """Returns manifests without what changes with each new setting of a command, and with the version."""
    text = re.sub(r"\b[0-9a-f]{32}\b", 32 * "0", text)
    text = re.sub(r"\b(beamtune-[a-z]+-)[0-9a-f]{10}\b", rf"\g<1>{10 * '0'}", text)
    return re.sub(r"(beamtune-version: ).*", r"\g<1>0-0-0", text)


@pytest.mark.parametrize("name", NAMES)
def test_kustomize_renders_the_examples(name: str, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    words = ["kubectl", "kustomize", str(EXAMPLES / name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "rendered.yaml").write_text(done.stdout)
    rendered = list(yaml.safe_load_all(done.stdout))
    source = list(yaml.safe_load_all((EXAMPLES / name / f"{name}.yaml").read_text(encoding="utf-8")))
    assert sorted(one["kind"] for one in rendered) == sorted(one["kind"] for one in source)
    assert {one["metadata"]["namespace"] for one in rendered} == {"music"}
    validate(tmp_path)
