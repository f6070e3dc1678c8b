terraform {
  # Validations that name other variables need 1.9; the checks run with 1.11 and 1.15.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "8.7.0"
    }
  }

  # The bucket of the state is made before the first `terraform init`, which is given its name: README.md.
  backend "gcs" {
    prefix = "beamtune"
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = var.labels

  # The API of budgets bills its requests to a project, which credentials of a person do not name by themselves.
  user_project_override = true
  billing_project       = var.project
}
