"""The search for good settings: spaces, trials, and a search that survives the loss of its machines."""
