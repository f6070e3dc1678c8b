"""`beamtune convert`: any audio to WAV or FLAC."""
