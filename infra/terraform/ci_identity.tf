# Workflows of one branch of one repository push images with tokens that last an hour. There is no key to lose.

locals {
  # The accounts that workflows act as, and why.
  ci_accounts = merge(
    var.ci == null ? {} : { ci = "act as the account ci, from one branch of one repository" },
    try(var.ci.launches, false) ? { launcher = "start jobs from the same workflows; with `ci.launches`" } : {},
  )
  ci_identity_roles = [
    for account, why in local.ci_accounts :
    { account = "workflows of `ci`", role = "roles/iam.workloadIdentityUser", on = "account ${account}", why = why }
  ]
  ci_refs = var.ci == null ? [] : concat(
    ["assertion.ref == 'refs/heads/${var.ci.branch}'"],
    var.ci.release_tags ? ["assertion.ref.startsWith('refs/tags/v')"] : [],
  )
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
    length(local.ci_refs) == 1 ? local.ci_refs[0] : "(${join(" || ", local.ci_refs)})",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "ci_identity" {
  for_each = local.ci_accounts

  service_account_id = google_service_account.account[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.ci[0].name}/attribute.repository_id/${var.ci.repository_id}"
}
