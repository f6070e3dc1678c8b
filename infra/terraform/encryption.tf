# With a key of your own, the services that store data encrypt and decrypt with it. Their accounts are Google's.

data "google_storage_project_service_account" "this" {
  count = var.kms_key == null ? 0 : 1
}

locals {
  # The last two exist only after the first use of their service, or `gcloud beta services identity create`: README.md.
  key_users = var.kms_key == null ? {} : {
    storage    = data.google_storage_project_service_account.this[0].email_address
    registry   = "service-${data.google_project.this.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    aiplatform = "service-${data.google_project.this.number}@gcp-sa-aiplatform.iam.gserviceaccount.com"
  }
  key_role = {
    account = "service agents, with `kms_key`"
    role    = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    on      = "key"
    why     = "Cloud Storage, Artifact Registry and Vertex AI encrypt and decrypt what they store"
  }
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.key_users

  crypto_key_id = var.kms_key
  role          = local.key_role.role
  member        = "serviceAccount:${each.value}"
}
