"""The manifests of launches on Kubernetes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_launch import IMAGE, SERVE, TRAIN, TUNE, launch
from kubernetes_pods import Pod, expanded, pods_of

from beam_pipelines.common.errors import UserError
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.pods import escaped
from trainer.devices.strategy import check_cluster
from trainer.tuner.service.cluster_role import role_from_environment

Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def render(capsys: pytest.CaptureFixture[str]) -> Render:
    """Returns the manifests of a launch."""

    def run(*words: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert launch(*words, "--dry-run") == 0, capsys.readouterr()
        return list(yaml.safe_load_all(capsys.readouterr().out))

    return run


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in manifests if one["kind"] == kind]


def cluster_of(pod: Pod) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(pod.environment["TF_CONFIG"])
    return content


def test_a_command_is_one_job(render: Render) -> None:
    [job] = render("predict", "gs://bucket/run", "gs://bucket/music", "output=gs://bucket/genres.csv")
    [pod] = pods_of([job])
    assert pod.words == ["beamtune", "predict", "gs://bucket/run", "gs://bucket/music", "output=gs://bucket/genres.csv"]
    assert "TF_CONFIG" not in pod.environment
    assert job["metadata"]["name"] == f"beamtune-predict-{job['metadata']['labels']['beamtune-launch'][:10]}"
    assert job["spec"]["backoffLimit"] == 3
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert [(rule["action"], rule.get("onExitCodes", {}).get("values")) for rule in rules] == [
        ("Ignore", None),
        ("Ignore", [75]),
        ("FailJob", [1, 2]),
    ]


def test_workers_that_train_together_know_each_other(render: Render) -> None:
    manifests = render(*TRAIN, "launch.replicas=3", "launch.namespace=music")
    pods = pods_of(manifests)
    assert [one["kind"] for one in manifests] == ["Service", "NetworkPolicy", "Job"]
    addresses = [f"{pod.domain_name}:2222" for pod in pods]
    for index, pod in enumerate(pods):
        assert pod.words == ["beamtune", *TRAIN, "strategy=multi_worker"]
        assert cluster_of(pod) == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        check_cluster(pod.environment["TF_CONFIG"])
    [job] = of_kind(manifests, "Job")
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert rules[1]["onExitCodes"]["values"] == [75, 134]


def test_a_search_has_a_chief_without_gpus_and_workers_that_start_again_alone(render: Render) -> None:
    manifests = render(
        *(*TUNE, "launch.replicas=2", "launch.accelerators=2", "launch.chief_cpu=500m", "launch.node_selector={gpu: a}")
    )
    chief, *workers = pods_of(manifests)
    roles = [role_from_environment(pod.environment) for pod in (chief, *workers)]
    assert [(role.kind, role.num_workers) for role in roles if role] == [("chief", 2), ("worker", 2), ("worker", 2)]
    assert {role.chief_address for role in roles[1:] if role} == {f"{chief.domain_name}:2222"}
    assert [role.worker_name for role in roles if role] == ["chief", "tuner-worker-0", "tuner-worker-1"]
    assert chief.container["resources"]["requests"]["cpu"] == "500m"
    assert "nvidia.com/gpu" not in chief.container["resources"]["limits"]
    assert workers[0].container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert workers[0].words[-1] == "strategy=mirrored"
    first, second = of_kind(manifests, "Job")
    assert (first["spec"]["backoffLimit"], second["spec"]["backoffLimitPerIndex"]) == (3, 3)
    assert "nodeSelector" not in first["spec"]["template"]["spec"]
    assert second["spec"]["template"]["spec"]["nodeSelector"] == {"gpu": "a"}
    assert second["spec"]["podFailurePolicy"]["rules"][-1]["onExitCodes"]["values"] == [2]


@pytest.mark.parametrize("more", [(), ("refit=true",)])
def test_a_search_in_one_pod_needs_no_network(render: Render, more: tuple[str, ...]) -> None:
    [job] = render(*TUNE, *more)
    assert job["kind"] == "Job"
    assert "TF_CONFIG" not in pods_of([job])[0].environment


@pytest.mark.parametrize("words", [TRAIN, (*TRAIN, "launch.replicas=2"), (*TUNE, "launch.replicas=2"), SERVE])
def test_pods_have_no_rights(render: Render, words: tuple[str, ...]) -> None:
    for manifest in render(*words):
        if manifest["kind"] not in ("Job", "Deployment"):
            continue
        spec = manifest["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10_001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}
        mounts = {one["mountPath"] for one in container["volumeMounts"]}
        assert {one["value"] for one in container["env"] if one["name"] in ("HOME", "TMPDIR")} <= mounts


def test_a_service_is_probed_drained_and_scaled(render: Render) -> None:
    manifests = render(*SERVE, "launch.replicas=2", "launch.port=9000", "launch.name=genres", "shutdown_timeout_s=40")
    deployment, service, budget, scaler = manifests
    assert {one["metadata"]["name"] for one in manifests} == {"genres"}
    spec, [pod] = deployment["spec"]["template"]["spec"], pods_of(manifests)
    assert pod.words[:3] == ["beamtune", "serve", "gs://bucket/export"]
    assert pod.words[4:] == [
        *("host=0.0.0.0", "port=9000", "token_file=/var/run/secrets/beamtune/token", "num_threads=4"),
    ]
    assert "replicas" not in deployment["spec"]
    paths = {name: pod.container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    # Requests have 40 s after SIGTERM, which comes after the sleep.
    assert spec["terminationGracePeriodSeconds"] > 40 + pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["volumes"][-1]["secret"]["secretName"] == "token"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 4)
    *fixed, _ = render(*SERVE, "launch.replicas=2", "launch.max_replicas=2")[:4]
    assert fixed[0]["spec"]["replicas"] == 2


def test_all_settings_of_a_pod(render: Render) -> None:
    [job] = render(
        *(*TRAIN[:2], "run_dir=/runs/1", "launch.volumes={/runs: 'music:runs/mine', /data: 'music:ro'}"),
        *("launch.shared_memory=2Gi", "launch.service_account=trainer", "launch.priority_class=low"),
        *("launch.image_pull_secrets=[pull]", "launch.tolerations=['cloud.google.com/gke-spot=true:NoSchedule', any]"),
        "launch.environment={NCCL_DEBUG: 'a$(HOME)'}",
        "launch.labels={team: music}",
        "launch.node_selector={cloud.google.com/gke-spot: 'true'}",
    )
    spec, [pod] = job["spec"]["template"]["spec"], pods_of([job])
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("trainer", "low")
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
    assert spec["tolerations"] == [
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "any", "operator": "Exists"},
    ]
    assert [one for one in pod.container["volumeMounts"] if one["name"] != "tmp"] == [
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        {"name": "claim-0", "mountPath": "/runs", "subPath": "runs/mine"},
        {"name": "claim-0", "mountPath": "/data", "readOnly": True},
    ]
    assert [one["name"] for one in spec["volumes"]] == ["tmp", "shm", "claim-0"]
    assert pod.environment["NCCL_DEBUG"] == "a$(HOME)"
    assert job["metadata"]["labels"]["team"] == "music"


@given(st.text(alphabet="$()AB {}'", max_size=12))
def test_words_arrive_as_they_are(word: str) -> None:
    assert expanded(escaped(word), {"A": "1", "AB": "2", "": "3"}) == word


HOSTILE = [
    "a\nb: c",
    "a\r",
    "a: b",
    "a'",
    'a"',
    "a #",
    "{a}",
    "$(id)",
    "a\u2028b",
    "a\x00",
    "é",
    "-a",
    "",
    " ",
    "a" * 300,
]


@pytest.mark.parametrize(
    "key", ["namespace", "name", "service_account", "cpu", "memory", "shared_memory", "token_secret", "context"]
)
def test_no_value_gets_into_a_manifest_unchecked(capsys: pytest.CaptureFixture[str], key: str) -> None:
    from configs.launch.kubernetes.config import KubernetesLaunchConfig

    for value in HOSTILE:
        with pytest.raises(Exception, match=f"^launch.{key}=(?s:.*): expected ") as error:
            KubernetesLaunchConfig(image=IMAGE, **{key: value})
        assert type(error.value).__name__ == "UserError"


@pytest.mark.parametrize("value", HOSTILE)
def test_nor_does_a_key_or_an_entry(value: str) -> None:
    from configs.launch.kubernetes.config import KubernetesLaunchConfig

    entries: list[dict[str, Any]] = [
        {"volumes": {"/data": value}},
        {"image_pull_secrets": [value]},
        {"tolerations": [value]},
        {"labels": {value: "a"}},
        {"environment": {value: "a"}},
        {"node_selector": {value: "a"}},
        {"accelerator_resource": f"nvidia.com/{value}"},
    ]
    # These are folders as others are.
    entries += [{"volumes": {f"/{value}": "claim"}}] if value.strip("-a") or not value else []
    # "" is a value of labels, and control characters are in no value of a variable.
    entries += [{"labels": {"a": value}}, {"node_selector": {"a": value}}] if value else []
    entries += [{"environment": {"TF_A": value}}] if not value.isprintable() else []
    for entry in entries:
        with pytest.raises(Exception, match="expected") as error:
            KubernetesLaunchConfig(image=IMAGE, **entry)
        assert type(error.value).__name__ == "UserError", entry


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tensorboard"], "COMMAND=tensorboard: expected one of prepare, convert, train, "),
        (
            ["train", "run_dir=gs://bucket/run"],
            "data_dir=prepared/synthetic: a pod does not reach it: expected gs://…, or a path below launch.volumes ",
        ),
        (
            ["train", "data_dir=/data/../etc", "run_dir=gs://bkt/r", "launch.volumes={/data: music}"],
            "data_dir=/data/../etc: expected a path gs://…, or an absolute one below launch.volumes (now /data)",
        ),
        (
            ["train", "data_dir=/database", "run_dir=gs://bkt/r", "launch.volumes={/data: music}"],
            "data_dir=/database: a pod does not reach it",
        ),
        (
            ["train", "data_dir=gs://bkt/d", "run_dir=/data/r", "launch.volumes={/data: 'music:ro'}"],
            "run_dir=/data/r: expected a path that can be written to: /data is mounted with :ro",
        ),
        (["train", "data_dir=gs://b/d", "run_dir=gs://bkt/r"], "data_dir=gs://b/d: expected the name of a bucket"),
        ([*TRAIN, "strategy=multi_worker"], "strategy=multi_worker: expected none with launch.accelerators=0 and "),
        ([*TRAIN, "strategy=tpu"], "strategy=tpu: expected none with launch.accelerators=0 and launch.replicas=1"),
        ([*TUNE, "refit=true", "launch.replicas=2"], "launch.replicas=2: expected 1: tune refit=true runs in one pod"),
        (
            ["baselines", "data_dir=gs://bkt/d", "output_dir=gs://bkt/o", "launch.accelerators=1"],
            "launch.accelerators=1: expected 0: baselines uses no more",
        ),
        (["serve", "gs://bucket/export"], "launch.token_secret=null: expected the Secret whose key token clients send"),
        ([*SERVE, "host=0.0.0.0"], "host=0.0.0.0: expected launch.port and launch.token_secret instead"),
        (["serve", "launch.token_secret=token"], "launch … serve takes one path, that of a run or an export: got none"),
        ([*SERVE, "launch.replicas=9"], "launch.max_replicas=4: expected at least launch.replicas=9"),
        ([*SERVE, "launch.replicas=0"], "launch.replicas=0: expected 1 to 128"),
        ([*TRAIN, "launch.machine=l4"], "launch.machine: there is no such setting"),
        ([*TRAIN, "launch.cpu=1\u0663m"], "launch.cpu=1\u0663m: expected cores, such as 4, 0.5 or 500m"),
        ([*TRAIN, "launch.memory=1\u0663Gi"], "launch.memory=1\u0663Gi: expected a size, such as 16Gi or 512Mi"),
        ([*TRAIN, "launch.memory=1.5GB"], "launch.memory=1.5GB: expected a size, such as 16Gi or 512Mi"),
        ([*TRAIN, "launch.volumes={/usr/lib: a}"], "launch.volumes=/usr/lib: expected a path outside of /tmp, "),
        ([*TRAIN, "launch.volumes={/opt: a}"], "launch.volumes=/opt: expected a path outside of /tmp, "),
        (
            ["train", "data_dir=gs://bkt/d", "run_dir=~/r"],
            "run_dir=~/r: expected a full path: ~ is another folder in a pod",
        ),
        (
            ["train", "data_dir=gs://bkt/d", "run_dir=gs://bkt/${oc.env:HOME}"],
            "'run_dir=gs://bkt/${oc.env:HOME}': expected the value itself: ${oc.env:…} may have another one where ",
        ),
        (
            ["train", "data_dir=gs://bkt/d", "run_dir=gs://bkt/${now:%S}"],
            "'run_dir=gs://bkt/${now:%S}': expected the value itself: ${now:…} may have another one where ",
        ),
        ([*SERVE, "model_name=${oc.env:HOME}"], "'model_name=${oc.env:HOME}': expected the value itself: "),
        ([*TRAIN, "launch.cpu=0"], "launch.cpu=0: expected cores, such as 4, 0.5 or 500m"),
        ([*TRAIN, "launch.labels={beamtune-launch: a}"], "launch.labels.beamtune-launch=a: expected another name"),
        ([*TRAIN, "launch.volumes={/tmp/x: a}"], "launch.volumes=/tmp/x: expected a path outside of /tmp, "),
        ([*TRAIN, "launch.volumes={/data: 'a:../b'}"], "launch.volumes./data=a:../b: expected CLAIM[:FOLDER][:ro]"),
        ([*TRAIN, "launch.environment={AWS_SECRET: a}"], "launch.environment: AWS_SECRET is not passed on: expected "),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    assert launch(*words, "--dry-run") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"beamtune launch: {line}")
    assert captured.err.count("\n") == 1


def test_a_word_with_control_characters_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("output=gs://bucket/a\nb.csv", "output=gs://bucket/\udc80.csv"):
        assert launch("predict", "gs://bucket/run", "gs://bucket/music", word, "--dry-run") == 2
        assert ": expected printable text on one line, without control" in capsys.readouterr().err


def test_json_is_a_list_for_kubectl(render: Render, capsys: pytest.CaptureFixture[str]) -> None:
    manifests = render(*TRAIN, "launch.replicas=2")
    assert launch(*TRAIN, "launch.replicas=2", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "v1", "kind": "List", "items": manifests}


def test_shared_memory_is_a_part_of_the_memory() -> None:
    for memory, shared in (("16Gi", "17G"), ("1Gi", "1024Mi")):
        KubernetesLaunchConfig(image=IMAGE, memory=memory, shared_memory=shared)
    for memory, shared in (("16Gi", "18G"), ("1Gi", "1025Mi"), ("500M", "1Ti")):
        with pytest.raises(UserError, match=f"launch.shared_memory={shared}: expected at most launch.memory={memory}"):
            KubernetesLaunchConfig(image=IMAGE, memory=memory, shared_memory=shared)
