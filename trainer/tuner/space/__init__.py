"""The search space and the trials so far → the next point to train."""
