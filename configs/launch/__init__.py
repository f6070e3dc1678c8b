"""A command and its settings → a job on Vertex AI that runs it; and what became of such jobs.

Neither Beam nor TensorFlow is imported here: a job is described, checked and submitted from a machine that has neither.
"""
