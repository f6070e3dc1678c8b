locals {
  accounts = merge(
    {
      launcher        = "Starts the jobs of beamtune"
      dataflow_worker = "Runs the machines of Dataflow"
      trainer         = "Runs train and tune on Vertex AI"
      server          = "Serves predictions of an exported model"
    },
    var.ci == null ? {} : { ci = "Pushes the images of beamtune" },
  )

  # Every right of every account, with its reason: the only place where they are listed. docs/cloud.md has the same table,
  # which a test compares. A right is granted on the project only where the service has no narrower place for it.
  grants = concat(
    [
      {
        account = "launcher"
        role    = "roles/storage.objectAdmin"
        on      = "bucket"
        why     = "reads music, and writes prepared data and the files that jobs stage"
      },
      {
        account = "launcher"
        role    = "roles/storage.legacyBucketReader"
        on      = "bucket"
        why     = "Dataflow's client looks up the bucket of `runner.temp_location`"
      },
      {
        account = "launcher"
        role    = "roles/dataflow.developer"
        on      = "project"
        why     = "starts, watches and cancels jobs of Dataflow"
      },
      {
        account = "launcher"
        role    = "roles/aiplatform.user"
        on      = "project"
        why     = "starts, watches and cancels jobs of Vertex AI, and deploys models"
      },
      {
        account = "launcher"
        role    = "roles/run.developer"
        on      = "project"
        why     = "deploys models to Cloud Run, where nobody else may call them"
      },
      {
        account = "launcher"
        role    = "roles/iam.serviceAccountUser"
        on      = "account launcher"
        why     = "starts the small jobs that start pipelines, which run as this account itself"
      },
      {
        account = "launcher"
        role    = "roles/iam.serviceAccountUser"
        on      = "account dataflow_worker"
        why     = "starts jobs whose machines run as this account"
      },
      {
        account = "launcher"
        role    = "roles/iam.serviceAccountUser"
        on      = "account trainer"
        why     = "starts jobs that run as this account"
      },
      {
        account = "launcher"
        role    = "roles/iam.serviceAccountUser"
        on      = "account server"
        why     = "deploys servers that run as this account"
      },
      {
        account = "dataflow_worker"
        role    = "roles/storage.objectAdmin"
        on      = "bucket"
        why     = "reads music and staged files, and writes shards"
      },
      {
        account = "dataflow_worker"
        role    = "roles/dataflow.worker"
        on      = "project"
        why     = "takes work from a job and reports it"
      },
      {
        account = "dataflow_worker"
        role    = "roles/artifactregistry.reader"
        on      = "repository"
        why     = "pulls the image of `runner.worker_image`"
      },
      {
        account = "trainer"
        role    = "roles/storage.objectAdmin"
        on      = "bucket"
        why     = "reads prepared data, and writes runs, checkpoints, searches and exports"
      },
    ],
    var.tensorboard ? [
      {
        account = "trainer"
        role    = "roles/aiplatform.user"
        on      = "project"
        why     = "writes to Vertex AI TensorBoard; with `tensorboard`"
      },
    ] : [],
    [
      {
        account = "server"
        role    = "roles/storage.objectViewer"
        on      = "exports folder"
        why     = "reads the exported model, and nothing else in the bucket"
      },
    ],
    var.ci == null ? [] : [
      {
        account = "ci"
        role    = "roles/artifactregistry.writer"
        on      = "repository"
        why     = "pushes images; with `ci`"
      },
    ],
  )

  grants_by_place = {
    for place in ["project", "bucket", "exports folder", "repository"] : place => {
      for grant in local.grants : "${grant.account} ${grant.role}" => grant if grant.on == place
    }
  }
  grants_on_accounts = {
    for grant in local.grants : "${grant.account} ${grant.role} ${grant.on}" => grant if startswith(grant.on, "account ")
  }
}

locals {
  member_role = {
    account = "`launcher_members`"
    role    = "roles/iam.serviceAccountTokenCreator"
    on      = "account launcher"
    why     = "act as the launcher with credentials that last an hour"
  }
}

resource "google_service_account" "account" {
  for_each = local.accounts

  account_id   = "${var.name}-${replace(each.key, "_", "-")}"
  display_name = each.value

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "account" {
  for_each = local.grants_by_place["project"]

  project = var.project
  role    = each.value.role
  member  = "serviceAccount:${google_service_account.account[each.value.account].email}"
}

resource "google_storage_bucket_iam_member" "account" {
  for_each = local.grants_by_place["bucket"]

  bucket = google_storage_bucket.data.name
  role   = each.value.role
  member = "serviceAccount:${google_service_account.account[each.value.account].email}"
}

resource "google_storage_managed_folder_iam_member" "account" {
  for_each = local.grants_by_place["exports folder"]

  bucket         = google_storage_managed_folder.exports.bucket
  managed_folder = google_storage_managed_folder.exports.name
  role           = each.value.role
  member         = "serviceAccount:${google_service_account.account[each.value.account].email}"
}

resource "google_artifact_registry_repository_iam_member" "account" {
  for_each = local.grants_by_place["repository"]

  repository = google_artifact_registry_repository.images.repository_id
  location   = google_artifact_registry_repository.images.location
  role       = each.value.role
  member     = "serviceAccount:${google_service_account.account[each.value.account].email}"
}

resource "google_service_account_iam_member" "account" {
  for_each = local.grants_on_accounts

  service_account_id = google_service_account.account[trimprefix(each.value.on, "account ")].name
  role               = each.value.role
  member             = "serviceAccount:${google_service_account.account[each.value.account].email}"
}

resource "google_service_account_iam_member" "launcher_member" {
  for_each = var.launcher_members

  service_account_id = google_service_account.account["launcher"].name
  role               = local.member_role.role
  member             = each.value
}
