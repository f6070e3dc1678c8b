# With everything that can be turned on. tests/infra compares the roles, rules and settings of this run with the documentation.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project          = "my-project"
  region           = "europe-west4"
  kms_key          = "projects/keys/locations/europe-west4/keyRings/ring/cryptoKeys/key"
  internet_access  = true
  billing_account  = "01ABCD-234567-89EF01"
  monthly_budget   = 250
  alert_email      = "me@example.com"
  launcher_members = ["user:me@example.com", "group:team@example.com"]
  ci = {
    repository    = "owner/name"
    repository_id = "123456789"
    release_tags  = true
    launches      = true
  }
}

run "complete" {
  command = apply

  assert {
    condition     = one(google_storage_bucket.data.encryption).default_kms_key_name == var.kms_key
    error_message = "The bucket is not encrypted with the key."
  }
  assert {
    condition     = google_artifact_registry_repository.images.kms_key_name == var.kms_key
    error_message = "The images are not encrypted with the key."
  }
  assert {
    condition     = one(google_vertex_ai_tensorboard.runs[0].encryption_spec).kms_key_name == var.kms_key
    error_message = "TensorBoard is not encrypted with the key."
  }
  assert {
    condition = toset([for member in google_kms_crypto_key_iam_member.agent : member.member]) == toset([
      "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com",
      "serviceAccount:service-123456789012@gcp-sa-artifactregistry.iam.gserviceaccount.com",
      "serviceAccount:service-123456789012@gcp-sa-aiplatform.iam.gserviceaccount.com",
    ])
    error_message = "The key can be used by others than the three services."
  }
  assert {
    condition = toset([for member in google_service_account_iam_member.launcher_member : "${member.member} ${member.service_account_id}"]) == toset([
      "user:me@example.com projects/my-project/serviceAccounts/beamtune-launcher@my-project.iam.gserviceaccount.com",
      "group:team@example.com projects/my-project/serviceAccounts/beamtune-launcher@my-project.iam.gserviceaccount.com",
    ])
    error_message = "Others than launcher_members act as the launcher."
  }
  assert {
    condition     = google_compute_router_nat.internet[0].source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS"
    error_message = "Cloud NAT serves more than the subnetwork of the machines."
  }
  assert {
    condition     = one(one(google_billing_budget.month[0].amount).specified_amount).units == "250"
    error_message = "The budget is not monthly_budget."
  }
  assert {
    condition     = one(google_billing_budget.month[0].budget_filter).projects == toset(["projects/123456789012"])
    error_message = "The budget counts other projects of the billing account."
  }
  assert {
    condition     = one(google_billing_budget.month[0].all_updates_rule).monitoring_notification_channels == tolist([google_monitoring_notification_channel.email[0].id])
    error_message = "Alerts do not reach alert_email."
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].attribute_condition == "assertion.repository == 'owner/name' && assertion.repository_id == '123456789' && (assertion.ref == 'refs/heads/main' || assertion.ref.startsWith('refs/tags/v'))"
    error_message = "Workflows of other repositories or branches are accepted."
  }
  assert {
    condition     = google_service_account_iam_member.ci_identity["launcher"].member == "principalSet://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/beamtune-ci/attribute.repository_id/123456789"
    error_message = "Other identities of the pool act as the account of CI."
  }
  assert {
    condition     = google_service_account_iam_member.ci_identity["ci"].service_account_id == "projects/my-project/serviceAccounts/beamtune-ci@my-project.iam.gserviceaccount.com"
    error_message = "Workflows act as another account than that of CI."
  }
  assert {
    condition     = alltrue([for service in ["billingbudgets", "cloudkms", "sts"] : contains(keys(google_project_service.needed), "${service}.googleapis.com")])
    error_message = "A service that is used is not enabled."
  }
}

run "budget_without_an_address" {
  command = plan

  variables {
    alert_email = null
  }

  assert {
    condition     = length(google_billing_budget.month) == 1 && length(google_billing_budget.month[0].all_updates_rule) == 0
    error_message = "The administrators of the billing account get the alerts."
  }
}

run "data_may_be_deleted" {
  command = plan

  variables {
    delete_data_on_destroy = true
  }

  assert {
    condition     = google_storage_bucket.data.force_destroy && google_storage_managed_folder.exports.force_destroy
    error_message = "destroy would stop at the first object."
  }
}
