"""A folder of audio files → the same folder as WAV or FLAC."""
