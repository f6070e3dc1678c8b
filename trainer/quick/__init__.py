"""Prepared embeddings → a linear classifier, its cross-validated scores and a run directory."""
