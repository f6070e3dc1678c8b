"""Batches, a model and devices → a trained run, resumed where it was interrupted."""
