"""How trials are distributed: workers ask the chief for trials over gRPC and report results; its state is on disk."""
