"""A trained model as files that run without beamtune: the front end in the graph of the model."""
