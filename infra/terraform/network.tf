resource "google_compute_network" "private" {
  name                    = "${var.name}-network"
  auto_create_subnetworks = false

  depends_on = [google_project_service.needed]
}

resource "google_compute_subnetwork" "machines" {
  # checkov:skip=CKV_GCP_76:The subnetwork has IPv4 addresses alone.
  name          = "${var.name}-machines"
  network       = google_compute_network.private.id
  region        = var.region
  ip_cidr_range = var.subnet_range

  # Machines without public addresses reach Cloud Storage and the other services of Google.
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1 # logs are billed by their size
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# A network refuses all connections from outside that no rule allows. There is no rule for SSH: `gcloud compute ssh
# --tunnel-through-iap` would need one.

resource "google_compute_firewall" "dataflow" {
  name        = "${var.name}-dataflow"
  network     = google_compute_network.private.id
  description = "Machines of one Dataflow job exchange data, where the job does not use the service's own shuffle"
  direction   = "INGRESS"

  # Dataflow gives each of its machines this tag, and looks for a rule with it.
  source_tags = ["dataflow"]
  target_tags = ["dataflow"]

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}

# The gRPC service of a search has neither a password nor encryption: whoever can connect to the port can take trials and
# report results. So only machines that run as the trainer reach it. An account, and not a tag, says which these are: a tag
# can be given by whoever may edit a machine. Replicas of one job on Vertex AI are not in this network: Google connects them.
resource "google_compute_firewall" "tuner" {
  name        = "${var.name}-tuner"
  network     = google_compute_network.private.id
  description = "Workers of a search connect to its chief, which asks for no password: machines of the trainer only"
  direction   = "INGRESS"

  source_service_accounts = [google_service_account.account["trainer"].email]
  target_service_accounts = [google_service_account.account["trainer"].email]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.tuner_port)]
  }
}

resource "google_compute_router" "internet" {
  count = var.internet_access ? 1 : 0

  name    = "${var.name}-router"
  network = google_compute_network.private.id
  region  = var.region
}

resource "google_compute_router_nat" "internet" {
  count = var.internet_access ? 1 : 0

  name                               = "${var.name}-nat"
  router                             = google_compute_router.internet[0].name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.machines.id
    source_ip_ranges_to_nat = ["PRIMARY_IP_RANGE"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
