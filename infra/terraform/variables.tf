variable "project" {
  description = "Id of the project, which exists and has a billing account."
  type        = string

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "Expected the id of a project: 6 to 30 lower-case letters, digits and hyphens, the first of them a letter."
  }
}

variable "region" {
  description = "Region of the bucket, the images, the network and all jobs. Data between them is free of charge."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Expected a single region, such as us-central1: Vertex AI takes images only from its own region."
  }
}

variable "name" {
  description = "First part of the names of all resources."
  type        = string
  default     = "beamtune"

  validation {
    # The id of a service account has 6 to 30 characters, and the longest ending here, -dataflow-worker, has 16.
    condition     = can(regex("^[a-z][-a-z0-9]{1,12}[a-z0-9]$", var.name))
    error_message = "Expected 3 to 14 lower-case letters, digits and hyphens, the first of them a letter."
  }
}

variable "labels" {
  description = "Labels of all resources that have some, for the bill and for searches."
  type        = map(string)
  default     = { application = "beamtune" }

  validation {
    condition = alltrue([
      for key, value in var.labels : can(regex("^[a-z][-_a-z0-9]{0,62}$", key)) && can(regex("^[-_a-z0-9]{0,63}$", value))
    ])
    error_message = "Expected at most 63 lower-case letters, digits, hyphens and underscores; a key begins with a letter."
  }
}

variable "bucket_name" {
  description = "Name of the bucket, unique in all of Google Cloud; null is <project>-<name>."
  type        = string
  default     = null

  validation {
    condition = var.bucket_name == null || (
      can(regex("^[a-z0-9][-_a-z0-9]{1,61}[a-z0-9]$", var.bucket_name)) &&
      !can(regex("^goog|google", var.bucket_name))
    )
    error_message = "Expected 3 to 63 lower-case letters, digits, hyphens and underscores, without goog at the start or google."
  }
}

variable "sync_folders" {
  description = "Folders of the bucket that `beamtune sync` copies into, whose old temporary files are removed; \"\" is the whole bucket."
  type        = list(string)
  default     = ["music/"]

  validation {
    condition     = alltrue([for folder in var.sync_folders : can(regex("^([^/\r\n]+/)*$", folder))])
    error_message = "Expected folders that end with a slash and do not begin with one, such as music/."
  }
}

variable "exports_folder" {
  description = "Folder of the bucket with exported models, which is all that the account of servers can read."
  type        = string
  default     = "exports/"

  validation {
    condition     = can(regex("^([^/\r\n]+/)+$", var.exports_folder))
    error_message = "Expected a folder that ends with a slash and does not begin with one, such as exports/."
  }
}

variable "delete_data_on_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that has objects. README.md says how to delete everything."
  type        = bool
  default     = false
}

variable "launcher_members" {
  description = "Who may act as the launcher, without a key: user:ADDRESS, group:ADDRESS or serviceAccount:ADDRESS."
  type        = set(string)
  default     = []

  validation {
    condition = alltrue([
      for member in var.launcher_members : can(regex("^(user|group|serviceAccount):[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", member))
    ])
    error_message = "Expected user:, group: or serviceAccount: and an e-mail address. allUsers and whole domains are refused."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS that encrypts the bucket, the images and TensorBoard; null is Google's own key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "Expected projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3], var.region) == var.region
    error_message = "Expected a key in the region of the bucket, which is var.region."
  }
}

variable "subnet_range" {
  description = "Addresses of the machines: private, with room for all machines of a job at a time."
  type        = string
  default     = "10.20.0.0/20"

  validation {
    condition     = can(cidrhost(var.subnet_range, 0)) && try(cidrhost(var.subnet_range, 0) == split("/", var.subnet_range)[0], false)
    error_message = "Expected the first address of a range and the length of its prefix, such as 10.20.0.0/20."
  }
  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.subnet_range))
    error_message = "Expected private addresses: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }
  validation {
    condition     = try(tonumber(split("/", var.subnet_range)[1]) >= 12 && tonumber(split("/", var.subnet_range)[1]) <= 28, false)
    error_message = "Expected a prefix of 12 to 28 bits: four addresses of a range are Google's own."
  }
}

variable "internet_access" {
  description = "Whether machines without public addresses reach the internet, through Cloud NAT. Google's own services need it not."
  type        = bool
  default     = false
}

variable "tuner_port" {
  description = "Port on which the chief of a search listens to its workers on machines of this network: KERASTUNER_ORACLE_PORT."
  type        = number
  default     = 2222

  validation {
    condition     = var.tuner_port >= 1024 && var.tuner_port <= 65535 && floor(var.tuner_port) == var.tuner_port
    error_message = "Expected a port from 1024 to 65535."
  }
}

variable "tensorboard" {
  description = "Whether to make an instance of Vertex AI TensorBoard. `beamtune tensorboard` needs none."
  type        = bool
  default     = true
}

variable "billing_account" {
  description = "Billing account of the project, for a budget with alerts; null makes no budget."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "Expected the id of a billing account, such as 01ABCD-234567-89EF01."
  }
}

variable "monthly_budget" {
  description = "Budget of a month for the whole project, in the currency of the billing account. An alert stops nothing."
  type        = number
  default     = 100

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "Expected a whole number from 1."
  }
}

variable "alert_email" {
  description = "Address that the budget's alerts go to, besides the administrators of the billing account."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alert_email))
    error_message = "Expected an e-mail address."
  }
  validation {
    condition     = var.alert_email == null || var.billing_account != null
    error_message = "Expected billing_account too: without it there is no budget."
  }
}

variable "ci" {
  description = "Repository on GitHub whose workflows push images, without a key; null lets none. The numeric id stays when a name is taken over: `gh api repos/OWNER/NAME --jq .id`. With release_tags, workflows of tags that begin with v are let in too: protect these tags by a ruleset. With launches, workflows also act as the launcher."
  type = object({
    repository    = string
    repository_id = string
    branch        = optional(string, "main")
    release_tags  = optional(bool, false)
    launches      = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.ci == null || can(regex("^[A-Za-z0-9][-A-Za-z0-9]*/[-._A-Za-z0-9]+$", var.ci.repository))
    error_message = "Expected repository = \"owner/name\"."
  }
  validation {
    condition     = var.ci == null || can(regex("^[0-9]+$", var.ci.repository_id))
    error_message = "Expected repository_id = the digits that `gh api repos/OWNER/NAME --jq .id` prints."
  }
  validation {
    # It becomes a part of a condition in CEL, between single quotes.
    condition     = var.ci == null || can(regex("^[A-Za-z0-9][-._/A-Za-z0-9]*$", var.ci.branch))
    error_message = "Expected the name of one branch, such as main: without wildcards, quotes and spaces."
  }
}
