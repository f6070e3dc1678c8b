"""A command and its settings → manifests of Kubernetes that run it, and `kubectl`, which applies them."""
