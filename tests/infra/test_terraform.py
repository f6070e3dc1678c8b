"""infra/terraform is valid, keeps to least rights, and is what the documentation says."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from terraform_runs import Outcome, Terraform, tool
from terraform_schema import CONFIGURATION, REPOSITORY, SCHEMA, used_types

from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from configs.compose import compose, to_dataclass
from configs.launch.config import CloudConfig, LaunchCommandConfig, VertexLaunchConfig
from configs.override_file import expand_override_files

CLOUD_PAGE = REPOSITORY / "docs" / "cloud.md"
BUCKETS_PAGE = REPOSITORY / "docs" / "buckets.md"
# The e-mail addresses of tests/mocks, and of Google's own accounts, as docs/cloud.md names them.
ACCOUNTS = {
    f"serviceAccount:beamtune-{name.replace('_', '-')}@my-project.iam.gserviceaccount.com": name
    for name in ("launcher", "dataflow_worker", "trainer", "server", "ci")
}


def texts() -> str:
    """Returns all files of the configuration."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(CONFIGURATION.glob("*.tf")))


def variables() -> dict[str, str]:
    """Returns the block of each variable."""
    return dict(re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', texts(), re.MULTILINE | re.DOTALL))


def test_the_schema_is_that_of_the_pinned_provider_and_has_all_that_is_used():
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    [pinned] = re.findall(r'source  = "hashicorp/google"\n\s+version = "([\d.]+)"', texts())
    known = [("data", name) for name in schema["data_source_schemas"]]
    known += [("resource", name) for name in schema["resource_schemas"]]
    assert (schema["version"], sorted(known)) == (pinned, used_types())


def test_each_variable_and_output_says_what_it_is():
    assert [name for name, block in variables().items() if "  description = " not in block] == []
    assert [name for name, block in variables().items() if not re.search(r"^  type +=", block, re.MULTILINE)] == []
    outputs = re.findall(r'^output "(\w+)" \{\n(.*?)^\}', texts(), re.MULTILINE | re.DOTALL)
    assert [name for name, block in outputs if "  description = " not in block] == []


def test_each_check_of_a_variable_has_a_value_that_it_refuses():
    refusals = (CONFIGURATION / "tests" / "variables.tftest.hcl").read_text(encoding="utf-8")
    checks = {name: block.count("  validation {") for name, block in variables().items() if "validation {" in block}
    few = [name for name, number in checks.items() if refusals.count(f"    var.{name},\n") < number]
    assert few == []
    assert set(variables()) - set(checks) == {"delete_data_on_destroy", "internet_access", "tensorboard"}  # booleans


def test_the_files_are_formatted(terraform: Terraform):
    result = terraform.run("fmt", "-check", "-recursive", "-diff")
    assert (result.returncode, result.stdout) == (0, "")


def test_the_configuration_is_valid(terraform: Terraform):
    result = terraform.run("validate", "-json")
    answer = json.loads(result.stdout)
    assert (answer["valid"], answer["diagnostics"]) == (True, [])


def test_a_wrong_name_is_found(terraform: Terraform):
    """The stand-in has the schema of the provider: without it, any name would pass."""
    wrong = terraform.folder / "wrong.tf"
    wrong.write_text('resource "google_service_account" "wrong" {\n  acount_id = "wrong-name"\n}\n', encoding="utf-8")
    try:
        found = json.loads(terraform.run("validate", "-json").stdout)["diagnostics"]
    finally:
        wrong.unlink()
    assert [one["summary"] for one in found] == ["Missing required argument", "Unsupported argument"]


def test_the_tests_of_terraform_pass(tested: Outcome):
    assert set(tested.status.values()) == {"pass"}, tested.problems
    files = sorted((CONFIGURATION / "tests").glob("*.tftest.hcl"))
    written = [name for path in files for name in re.findall(r'^run "(\w+)"', path.read_text("utf-8"), re.MULTILINE)]
    assert sorted(tested.status) == sorted(written)


def granted(resource: dict[str, Any]) -> tuple[str, str, str]:
    """Returns the account, the role and the place of a member, as docs/cloud.md names them."""
    values = resource["values"]
    place = {
        "google_project_iam_member": "project",
        "google_storage_bucket_iam_member": "bucket",
        "google_storage_managed_folder_iam_member": "exports folder",
        "google_artifact_registry_repository_iam_member": "repository",
        "google_kms_crypto_key_iam_member": "key",
    }.get(resource["type"])
    if place is None:
        place = "account " + ACCOUNTS["serviceAccount:" + values["service_account_id"].rpartition("/")[2]]
    member = values["member"]
    if re.fullmatch(r"serviceAccount:service-\d+@[-a-z]+\.iam\.gserviceaccount\.com", member):
        account = "service agents, with `kms_key`"
    elif member.startswith("principalSet://"):
        account = "workflows of `ci`"
    else:
        account = ACCOUNTS.get(member, "`launcher_members`")
    return account, values["role"], place


def members(tested: Outcome) -> list[dict[str, Any]]:
    return [one for one in tested.resources("complete") if "_iam_" in one["type"] and "member" in one["values"]]


def test_the_output_has_exactly_the_roles_that_are_granted(tested: Outcome):
    listed = {(one["account"], one["role"], one["on"]) for one in tested.output("complete", "roles")}
    assert {granted(one) for one in members(tested)} == listed


def test_roles_are_added_and_never_replace_those_of_others():
    """A policy or a binding would remove from the project what is granted elsewhere."""
    iam = {name for kind, name in used_types() if "_iam_" in name and "workload_identity" not in name}
    assert {name for name in iam if not name.endswith("_iam_member")} == set()


def test_no_role_is_broad_and_none_is_for_everyone(tested: Outcome):
    roles = {one["values"]["role"] for one in members(tested)}
    assert roles & {"roles/owner", "roles/editor", "roles/viewer", "roles/browser"} == set()
    assert [role for role in roles if re.search(r"admin$", role, re.IGNORECASE)] == ["roles/storage.objectAdmin"]
    everyone = ("allUsers", "allAuthenticatedUsers", "domain:")
    assert [one for one in members(tested) if one["values"]["member"].startswith(everyone)] == []


def test_nothing_but_what_a_service_offers_on_the_project_alone_is_granted_there(tested: Outcome):
    on_project = {granted(one)[:2] for one in members(tested) if one["type"] == "google_project_iam_member"}
    assert on_project == {
        ("launcher", "roles/dataflow.developer"),
        ("launcher", "roles/aiplatform.user"),
        ("launcher", "roles/run.developer"),
        ("dataflow_worker", "roles/dataflow.worker"),
        ("trainer", "roles/aiplatform.user"),
    }


def test_the_documentation_has_each_role_with_its_reason(tested: Outcome):
    section = CLOUD_PAGE.read_text(encoding="utf-8").partition("\n## Infrastructure\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if "| `roles/" in line]
    expected = [
        f"| {one['account']} | `{one['role']}` | {one['on']} | {one['why']} |"
        for one in tested.output("complete", "roles")
    ]
    assert table == expected


def documented_rules() -> list[dict[str, Any]]:
    page = BUCKETS_PAGE.read_text(encoding="utf-8")
    block = re.search(r'^    \{"rule": \[\n.*?^    \]\}\n', page, re.MULTILINE | re.DOTALL)
    assert block is not None
    rules: list[dict[str, Any]] = json.loads(block[0])["rule"]
    return rules


def as_in_json(rule: dict[str, Any]) -> dict[str, Any]:
    """Returns a rule of the bucket as `gcloud storage buckets update --lifecycle-file` takes it."""
    [action], [condition] = rule["action"], rule["condition"]
    names = {
        "age": "age",
        "matches_prefix": "matchesPrefix",
        "matches_suffix": "matchesSuffix",
        "days_since_noncurrent_time": "daysSinceNoncurrentTime",
        "num_newer_versions": "numNewerVersions",
    }
    set_conditions = {names[key]: value for key, value in condition.items() if key in names and value}
    if condition["with_state"] == "ARCHIVED":
        set_conditions["isLive"] = False
    return {"action": {"type": action["type"]}, "condition": set_conditions}


def test_the_bucket_has_the_documented_rules_and_those_for_old_versions(tested: Outcome):
    [bucket] = [one for one in tested.resources("defaults") if one["type"] == "google_storage_bucket"]
    assert [as_in_json(rule) for rule in bucket["values"]["lifecycle_rule"]] == [
        *documented_rules(),
        {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 7, "isLive": False}},
        {"action": {"type": "Delete"}, "condition": {"numNewerVersions": 3, "isLive": False}},
    ]


def test_no_connection_from_any_address_is_allowed(tested: Outcome):
    rules = [one["values"] for one in tested.resources("complete") if one["type"] == "google_compute_firewall"]
    assert sorted(rule["name"] for rule in rules) == ["beamtune-dataflow", "beamtune-tuner"]
    for rule in rules:
        assert rule["direction"] == "INGRESS"
        assert not rule["source_ranges"]
        assert rule["source_tags"] or rule["source_service_accounts"]
        assert [allowed["protocol"] for allowed in rule["allow"]] == ["tcp"]


def test_prepare_takes_the_settings_of_the_output(tested: Outcome, tmp_path: Path):
    written = tmp_path / "dataflow.yaml"
    written.write_text(json.dumps(tested.output("complete", "prepare_settings")), encoding="utf-8")
    settings = expand_override_files(
        ["prepare"], [f"overrides={written}", "runner.worker_image=images.example/beamtune:1"]
    )
    config = to_dataclass(compose("prepare", settings))
    assert isinstance(config, PrepareConfig)
    assert config.runner == DataflowRunnerConfig(
        project="my-project",
        region="europe-west4",
        temp_location="gs://my-project-beamtune/temp",
        subnetwork="regions/europe-west4/subnetworks/beamtune-machines",
        service_account_email="beamtune-dataflow-worker@my-project.iam.gserviceaccount.com",
        use_public_ips=False,
        worker_image="images.example/beamtune:1",
    )


ACCOUNT = "beamtune-{}@my-project.iam.gserviceaccount.com"
KEY = "projects/keys/locations/europe-west4/keyRings/ring/cryptoKeys/key"


@pytest.mark.parametrize(
    ("name", "option", "account"),
    [
        ("train", "vertex", "trainer"),
        ("jobs", "vertex", "trainer"),
        ("dataflow", "dataflow", "launcher"),
        ("serve", "vertex_serve", "server"),
        ("serve", "cloudrun", "server"),
    ],
)
def test_launch_takes_the_settings_of_the_output(
    tested: Outcome, tmp_path: Path, name: str, option: str, account: str
) -> None:
    written = tmp_path / "launch.yaml"
    written.write_text(json.dumps(tested.output("complete", "launch_settings")[name]), encoding="utf-8")
    settings = expand_override_files(["launch"], [f"overrides={written}", "launch.image=images.example/beamtune:1"])
    config = to_dataclass(compose("launch", [f"launch={option}", *settings]))
    assert isinstance(config, LaunchCommandConfig)
    launch = config.launch
    assert isinstance(launch, CloudConfig)
    assert (launch.project, launch.region, launch.kms_key) == ("my-project", "europe-west4", KEY)
    assert launch.service_account == ACCOUNT.format(account)
    if isinstance(launch, VertexLaunchConfig):
        has_board = name == "train"
        [board] = [one for one in tested.resources("complete") if one["type"] == "google_vertex_ai_tensorboard"]
        assert launch.tensorboard == (board["values"]["id"] if has_board else None)
        assert launch.base_output_dir == ("gs://my-project-beamtune/runs" if has_board else None)


@pytest.mark.slow
def test_checkov_finds_nothing():
    words = ["--framework", "terraform", "--skip-download", "--output", "json", "--directory", str(CONFIGURATION)]
    result = subprocess.run([tool("checkov"), *words], capture_output=True, text=True, timeout=600, check=False)
    report = json.loads(result.stdout)
    assert [(one["check_id"], one["resource"]) for one in report["results"]["failed_checks"]] == []
    assert report["results"]["parsing_errors"] == []
    skipped = report["results"]["skipped_checks"]
    assert all(len(one["check_result"]["suppress_comment"].split()) >= 5 for one in skipped)  # a reason, in words
    assert report["summary"]["passed"] >= 30
