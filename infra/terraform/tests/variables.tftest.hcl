# Every value that is not allowed is refused before anything is made. A run has one such value of several variables, and passes
# only if each of them is refused.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project = "my-project"
}

run "refused_1" {
  command = plan

  variables {
    project          = "My-project"
    region           = "us"
    name             = "ab"
    labels           = { Application = "beamtune" }
    bucket_name      = "My-Bucket"
    sync_folders     = ["music"]
    exports_folder   = ""
    subnet_range     = "10.20.0.0"
    tuner_port       = 22
    billing_account  = "01abcd-234567-89ef01"
    monthly_budget   = 0
    ci               = { repository = "name", repository_id = "1" }
    launcher_members = ["allUsers"]
  }

  expect_failures = [
    var.launcher_members,
    var.project,
    var.region,
    var.name,
    var.labels,
    var.bucket_name,
    var.sync_folders,
    var.exports_folder,
    var.subnet_range,
    var.tuner_port,
    var.billing_account,
    var.monthly_budget,
    var.ci,
  ]
}

run "refused_2" {
  command = plan

  variables {
    project          = "short"
    region           = "us-central1-a"
    name             = "beamtune-longer"
    labels           = { application = "Beam Tune" }
    bucket_name      = "ab"
    sync_folders     = ["/music/"]
    exports_folder   = "exports"
    subnet_range     = "10.20.0.1/20"
    tuner_port       = 65536
    billing_account  = "billingAccounts/01ABCD-234567-89EF01"
    monthly_budget   = -5
    ci               = { repository = "owner/*", repository_id = "1" }
    launcher_members = ["allAuthenticatedUsers"]
  }

  expect_failures = [
    var.launcher_members,
    var.project,
    var.region,
    var.name,
    var.labels,
    var.bucket_name,
    var.sync_folders,
    var.exports_folder,
    var.subnet_range,
    var.tuner_port,
    var.billing_account,
    var.monthly_budget,
    var.ci,
  ]
}

run "refused_3" {
  command = plan

  variables {
    project          = "my-project-"
    region           = "US"
    name             = "1beam"
    bucket_name      = "googbucket"
    sync_folders     = ["music//"]
    exports_folder   = "/exports/"
    subnet_range     = "8.8.0.0/20"
    tuner_port       = 2222.5
    monthly_budget   = 99.5
    ci               = { repository = "owner/name", repository_id = "name" }
    alert_email      = "me"
    launcher_members = ["domain:example.com"]
  }

  expect_failures = [
    var.launcher_members,
    var.alert_email,
    var.project,
    var.region,
    var.name,
    var.bucket_name,
    var.sync_folders,
    var.exports_folder,
    var.subnet_range,
    var.tuner_port,
    var.monthly_budget,
    var.ci,
  ]
}

run "refused_4" {
  command = plan

  variables {
    project          = "a-project-whose-id-has-31-chars"
    region           = ""
    name             = "beam_tune"
    bucket_name      = "my-google-bucket"
    subnet_range     = "172.32.0.0/20"
    ci               = { repository = "owner/name", repository_id = "1", branch = "*" }
    alert_email      = "me@example"
    launcher_members = ["me@example.com"]
  }

  expect_failures = [
    var.launcher_members,
    var.alert_email,
    var.project,
    var.region,
    var.name,
    var.bucket_name,
    var.subnet_range,
    var.ci,
  ]
}

run "refused_5" {
  command = plan

  variables {
    project          = "my project"
    name             = "beamtune-"
    bucket_name      = "gs://my-bucket"
    kms_key          = "key"
    subnet_range     = "10.0.0.0/8"
    ci               = { repository = "owner/name", repository_id = "1", branch = "x' || true || '" }
    alert_email      = "me@example.com"
    launcher_members = ["user:me"]
  }

  expect_failures = [
    var.launcher_members,
    var.alert_email,
    var.project,
    var.name,
    var.bucket_name,
    var.kms_key,
    var.subnet_range,
    var.ci,
  ]
}

run "refused_6" {
  command = plan

  variables {
    project      = ""
    kms_key      = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
    subnet_range = "10.20.0.0/29"
  }

  expect_failures = [
    var.project,
    var.kms_key,
    var.subnet_range,
  ]
}

run "refused_7" {
  command = plan

  variables {
    kms_key      = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
    subnet_range = "0.0.0.0/0"
  }

  expect_failures = [
    var.kms_key,
    var.subnet_range,
  ]
}
