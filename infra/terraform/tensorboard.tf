resource "google_vertex_ai_tensorboard" "runs" {
  count = var.tensorboard ? 1 : 0

  display_name = var.name
  description  = "Runs and searches of beamtune"
  region       = var.region

  dynamic "encryption_spec" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = encryption_spec.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.agent]
}
