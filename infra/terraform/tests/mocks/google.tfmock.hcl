# What Google Cloud would compute. Each account has an address of its own, so that tests see which one has a role.

mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_storage_project_service_account" {
  defaults = { email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com" }
}

mock_resource "google_storage_bucket" {
  defaults = { url = "gs://my-project-beamtune" }
}

mock_resource "google_artifact_registry_repository" {
  defaults = { registry_uri = "images.example/my-project/beamtune-images" }
}

mock_resource "google_iam_workload_identity_pool" {
  defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/beamtune-ci" }
}

mock_resource "google_vertex_ai_tensorboard" {
  defaults = {
    id = "projects/my-project/locations/europe-west4/tensorboards/1234567890"
  }
}

override_resource {
  target = google_service_account.account["launcher"]
  values = {
    email = "beamtune-launcher@my-project.iam.gserviceaccount.com"
    name  = "projects/my-project/serviceAccounts/beamtune-launcher@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.account["dataflow_worker"]
  values = {
    email = "beamtune-dataflow-worker@my-project.iam.gserviceaccount.com"
    name  = "projects/my-project/serviceAccounts/beamtune-dataflow-worker@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.account["trainer"]
  values = {
    email = "beamtune-trainer@my-project.iam.gserviceaccount.com"
    name  = "projects/my-project/serviceAccounts/beamtune-trainer@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.account["server"]
  values = {
    email = "beamtune-server@my-project.iam.gserviceaccount.com"
    name  = "projects/my-project/serviceAccounts/beamtune-server@my-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.account["ci"]
  values = {
    email = "beamtune-ci@my-project.iam.gserviceaccount.com"
    name  = "projects/my-project/serviceAccounts/beamtune-ci@my-project.iam.gserviceaccount.com"
  }
}
