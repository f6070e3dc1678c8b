# With the id of a project and nothing else.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project = "my-project"
}

run "defaults" {
  command = apply

  assert {
    condition     = google_storage_bucket.data.name == "my-project-beamtune" && google_storage_bucket.data.location == "US-CENTRAL1"
    error_message = "The bucket is named after the project and lies in the region."
  }
  assert {
    condition     = google_storage_bucket.data.uniform_bucket_level_access && google_storage_bucket.data.public_access_prevention == "enforced"
    error_message = "The bucket can be made public."
  }
  assert {
    condition     = google_storage_bucket.data.versioning[0].enabled && google_storage_bucket.data.soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "Old versions are kept once: by versions, and not by soft delete."
  }
  assert {
    condition     = !google_storage_bucket.data.force_destroy && !google_storage_managed_folder.exports.force_destroy
    error_message = "destroy deletes data."
  }
  assert {
    condition     = length(google_storage_bucket.data.encryption) == 0 && google_artifact_registry_repository.images.kms_key_name == null
    error_message = "A key is used that nobody named."
  }
  assert {
    condition     = google_compute_subnetwork.machines.private_ip_google_access && !google_compute_network.private.auto_create_subnetworks
    error_message = "Machines without public addresses do not reach Cloud Storage."
  }
  assert {
    condition     = length(google_compute_router_nat.internet) == 0 && length(google_compute_router.internet) == 0
    error_message = "Cloud NAT costs money while it stands, and was not asked for."
  }
  assert {
    condition     = length(google_billing_budget.month) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "A budget without a billing account."
  }
  assert {
    condition     = length(google_iam_workload_identity_pool.ci) == 0 && !contains(keys(google_service_account.account), "ci")
    error_message = "Workflows were given access that nobody asked for."
  }
  assert {
    condition     = output.tensorboard != null && google_vertex_ai_tensorboard.runs[0].region == "us-central1"
    error_message = "The instance of TensorBoard is missing."
  }
  assert {
    condition     = output.ci_provider == null
    error_message = "There is no identity provider."
  }
  assert {
    condition     = alltrue([for service in google_project_service.needed : !service.disable_on_destroy])
    error_message = "destroy turns off services that others may use."
  }
}

run "images_are_cleaned_up" {
  command = plan

  assert {
    condition = one([
      for policy in google_artifact_registry_repository.images.cleanup_policies : policy.condition[0].tag_state if policy.action == "DELETE"
    ]) == "UNTAGGED"
    error_message = "Images that have a tag are deleted."
  }
  assert {
    condition = one([
      for policy in google_artifact_registry_repository.images.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.action == "KEEP"
    ]) == 10
    error_message = "The last images are deleted."
  }
}

run "connections" {
  command = apply

  assert {
    condition     = google_compute_firewall.tuner.source_service_accounts == toset(["beamtune-trainer@my-project.iam.gserviceaccount.com"])
    error_message = "Machines of other accounts reach the service of a search, which asks for no password."
  }
  assert {
    condition     = google_compute_firewall.tuner.target_service_accounts == google_compute_firewall.tuner.source_service_accounts
    error_message = "The port is open on machines of other accounts."
  }
  assert {
    condition     = one(google_compute_firewall.tuner.allow).ports == tolist(["2222"]) && one(google_compute_firewall.tuner.allow).protocol == "tcp"
    error_message = "More than the tuner's port is open."
  }
  assert {
    condition     = google_compute_firewall.dataflow.source_tags == toset(["dataflow"]) && google_compute_firewall.dataflow.target_tags == toset(["dataflow"])
    error_message = "Only machines of Dataflow connect to each other."
  }
  assert {
    condition     = one(google_compute_firewall.dataflow.allow).ports == tolist(["12345-12346"])
    error_message = "Dataflow's machines use two ports."
  }
}

run "without_tensorboard" {
  command = plan

  variables {
    tensorboard = false
  }

  assert {
    condition     = output.tensorboard == null
    error_message = "There is an instance of TensorBoard."
  }
  assert {
    condition     = !contains([for grant in output.roles : "${grant.account} ${grant.role}"], "trainer roles/aiplatform.user")
    error_message = "The trainer may write to a TensorBoard that does not exist."
  }
}

run "nothing_to_sync" {
  command = plan

  variables {
    sync_folders = []
  }

  assert {
    # An empty list of prefixes would be a rule for every object that ends with .tmp.
    condition     = !anytrue([for rule in google_storage_bucket.data.lifecycle_rule : try(length(one(rule.condition).matches_suffix) > 0, false)])
    error_message = "Temporary files outside the folders of sync are deleted."
  }
}

run "whole_bucket_is_synced" {
  command = plan

  variables {
    sync_folders = [""]
  }

  assert {
    condition     = one(google_storage_bucket.data.lifecycle_rule[0].condition).matches_prefix == tolist([".beamtune-sync-"])
    error_message = "The prefix is not the one of docs/buckets.md."
  }
}

run "unusual_values_are_accepted" {
  command = plan

  variables {
    project          = "a-project-whose-id-has-30-chrs"
    region           = "northamerica-northeast1"
    name             = "abc"
    labels           = { team = "" }
    bucket_name      = "music_of-2026"
    sync_folders     = ["music/", "more music/2026/"]
    exports_folder   = "models/exports/"
    kms_key          = "projects/example.com:keys/locations/northamerica-northeast1/keyRings/r/cryptoKeys/k"
    launcher_members = ["serviceAccount:jobs@my-project.iam.gserviceaccount.com"]
    subnet_range     = "172.16.0.0/12"
    tuner_port       = 65535
    monthly_budget   = 1
    ci               = { repository = "Owner-1/na.me_2", repository_id = "1", branch = "release/1.x" }
  }

  assert {
    condition     = google_storage_bucket.data.name == "music_of-2026" && google_storage_managed_folder.exports.name == "models/exports/"
    error_message = "The bucket and the folder have other names."
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.repository == 'Owner-1/na.me_2' && assertion.repository_id == '1' && assertion.ref == 'refs/heads/release/1.x'"
    error_message = "Workflows of other repositories or branches, or of tags, are accepted."
  }
  assert {
    condition     = join(",", keys(google_service_account_iam_member.ci_identity)) == "ci"
    error_message = "Workflows act as another account than that of CI."
  }
}
