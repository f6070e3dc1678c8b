"""Audio files → mono samples at one rate → segments; samples → WAV files."""
