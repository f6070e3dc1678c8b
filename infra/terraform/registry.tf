resource "google_artifact_registry_repository" "images" {
  repository_id = "${var.name}-images"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of beamtune for Dataflow, training and serving"
  kms_key_name  = var.kms_key

  # An image that has a tag stays: give each build a tag of its own, and start jobs by digest.
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s" # 30 days
    }
  }
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.agent]
}
