output "bucket" {
  description = "Where music, prepared data, runs, searches and exports go: the first part of every gs:// path."
  value       = google_storage_bucket.data.url
}

output "prepare_settings" {
  description = "Settings of `prepare` and `convert` on Dataflow, for overrides=FILE: `terraform output -json prepare_settings >prepare.yaml`."
  value = [
    "runner=dataflow",
    "runner.project=${var.project}",
    "runner.region=${var.region}",
    "runner.temp_location=${google_storage_bucket.data.url}/temp",
    "runner.subnetwork=regions/${google_compute_subnetwork.machines.region}/subnetworks/${google_compute_subnetwork.machines.name}",
    "runner.service_account_email=${google_service_account.account["dataflow_worker"].email}",
    "runner.use_public_ips=false",
  ]
}

output "launch_settings" {
  description = "Settings of `launch` by what is launched, for overrides=FILE: `terraform output -json launch_settings | jq .train >train.yaml`."
  value = {
    for name, settings in {
      # Runs go below the folder that TensorBoard shows.
      train = concat(
        ["launch.service_account=${google_service_account.account["trainer"].email}"],
        !var.tensorboard ? [] : [
          "launch.base_output_dir=${google_storage_bucket.data.url}/runs",
          "launch.tensorboard=${one(google_vertex_ai_tensorboard.runs[*].id)}",
        ],
      )
      jobs     = ["launch.service_account=${google_service_account.account["trainer"].email}"]
      dataflow = ["launch.service_account=${google_service_account.account["launcher"].email}"]
      serve    = ["launch.service_account=${google_service_account.account["server"].email}"]
    } :
    name => concat(
      ["launch.project=${var.project}", "launch.region=${var.region}"],
      settings,
      var.kms_key == null ? [] : ["launch.kms_key=${var.kms_key}"],
    )
  }
}

output "image_repository" {
  description = "Where images are pushed: the first part of runner.worker_image."
  value       = google_artifact_registry_repository.images.registry_uri
}

output "accounts" {
  description = "The e-mail address of each service account."
  value       = { for name, account in google_service_account.account : name => account.email }
}

output "network" {
  description = "The network, for machines that are started by hand."
  value       = google_compute_network.private.id
}

output "tensorboard" {
  description = "The instance of Vertex AI TensorBoard, for jobs of Vertex AI; null if there is none."
  value       = one(google_vertex_ai_tensorboard.runs[*].id)
}

output "ci_provider" {
  description = "The identity provider that a workflow names to get a token; null if there is none."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}

output "roles" {
  description = "Every role that is granted here: who has it, on what, and why."
  value = concat(
    local.grants,
    length(var.launcher_members) == 0 ? [] : [local.member_role],
    local.ci_identity_roles,
    var.kms_key == null ? [] : [local.key_role],
  )
}
