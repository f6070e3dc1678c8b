# Workflows of one branch of one repository push images with tokens that last an hour. There is no key to lose.

locals {
  ci_identity_role = {
    account = "workflows of `ci`"
    role    = "roles/iam.workloadIdentityUser"
    on      = "account ci"
    why     = "act as the account ci, from one branch of one repository"
  }
}

resource "google_iam_workload_identity_pool" "ci" {
  count = var.ci == null ? 0 : 1

  workload_identity_pool_id = "${var.name}-ci"
  display_name              = "${var.name} CI"

  depends_on = [google_project_service.needed]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  # checkov:skip=CKV_GCP_125:It asks for assertion.sub, whose form a repository can change; the claims themselves are compared here.
  count = var.ci == null ? 0 : 1

  workload_identity_pool_id          = google_iam_workload_identity_pool.ci[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub"

  attribute_mapping = {
    "google.subject"          = "assertion.sub"
    "attribute.repository_id" = "assertion.repository_id"
  }
  # Anyone on GitHub has tokens of this issuer: without the condition, all of them would be accepted here. The name of a
  # repository can be registered again after it was deleted, so its number is compared too.
  attribute_condition = join(" && ", [
    "assertion.repository == '${var.ci.repository}'",
    "assertion.repository_id == '${var.ci.repository_id}'",
    "assertion.ref == 'refs/heads/${var.ci.branch}'",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "ci_identity" {
  count = var.ci == null ? 0 : 1

  service_account_id = google_service_account.account["ci"].name
  role               = local.ci_identity_role.role
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}/attribute.repository_id/${var.ci.repository_id}"
}
