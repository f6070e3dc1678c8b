"""A run or an export and the settings of `beamtune serve` → a server on Vertex AI or Cloud Run, and its end."""
