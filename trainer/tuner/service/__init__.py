"""How trials are distributed: workers get trials from the chief over gRPC and report results; its state is on disk."""
