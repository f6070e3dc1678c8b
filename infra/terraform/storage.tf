locals {
  bucket_name = coalesce(var.bucket_name, "${var.project}-${var.name}")
}

resource "google_storage_bucket" "data" {
  # checkov:skip=CKV_GCP_62:Usage logs would be a second bucket of objects; Cloud Audit Logs have the accesses where a project turns them on.
  name          = local.bucket_name
  location      = upper(var.region)
  force_destroy = var.delete_data_on_destroy

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Versions keep what was overwritten or deleted, for a week. Soft delete would keep, and bill, the same a second time.
  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # The first three rules are those of docs/buckets.md.
  dynamic "lifecycle_rule" {
    for_each = length(var.sync_folders) == 0 ? [] : [1]
    content {
      action {
        type = "Delete"
      }
      condition {
        age            = 7
        matches_prefix = [for folder in var.sync_folders : "${folder}.beamtune-sync-"]
        matches_suffix = [".tmp"]
      }
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 30
      matches_prefix = ["temp/"]
    }
  }

  # A checkpoint is replaced every epoch, and a lease every 10 s: few old versions of each object, and none for long.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 7
      with_state                 = "ARCHIVED"
    }
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions = 3
      with_state         = "ARCHIVED"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.agent]
}

# A folder that has roles of its own, for the account of servers.
resource "google_storage_managed_folder" "exports" {
  bucket        = google_storage_bucket.data.name
  name          = var.exports_folder
  force_destroy = var.delete_data_on_destroy
}
