locals {
  services = toset(concat(
    [
      "aiplatform.googleapis.com",
      "artifactregistry.googleapis.com",
      "compute.googleapis.com",
      "dataflow.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com", # short-lived credentials of service accounts, in place of keys
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
    ],
    var.billing_account == null ? [] : ["billingbudgets.googleapis.com"],
    var.ci == null ? [] : ["sts.googleapis.com"], # exchanges the tokens of workflows
    var.kms_key == null ? [] : ["cloudkms.googleapis.com"],
  ))
}

resource "google_project_service" "needed" {
  for_each = local.services

  service = each.value
  # Other things in the project may use it.
  disable_on_destroy = false
}

# No data source waits for the APIs: it would be read anew whenever one is added, and what names it would be replaced.
# README.md turns on the APIs that they need.
data "google_project" "this" {
  project_id = var.project
}
