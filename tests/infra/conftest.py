"""Terraform on a copy of infra/terraform, with the provider's schema in place of the provider."""

import json
import os
import shutil
from collections.abc import Iterator

import pytest
from terraform_provider import google_provider
from terraform_runs import Outcome, Terraform, tool
from terraform_schema import CONFIGURATION, SCHEMA


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Terraform, in a copy where `terraform init` has succeeded."""
    tool("terraform")
    folder = tmp_path_factory.mktemp("terraform") / "infra"
    shutil.copytree(CONFIGURATION, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfvars", "*.tfstate*"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    with google_provider(json.loads(SCHEMA.read_text(encoding="utf-8"))) as provider:
        quiet = {"TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        started = Terraform(folder, {**kept, **provider, **quiet})
        init = started.run("init", "-backend=false", "-no-color")
        assert init.returncode == 0, init.stdout + init.stderr
        yield started


@pytest.fixture(scope="session")
def tested(terraform: Terraform) -> Outcome:
    """One call of `terraform test`, which runs infra/terraform/tests."""
    return Outcome.of(terraform)
