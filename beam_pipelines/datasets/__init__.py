"""A data set's settings → its tracks, each with label, group and official split. No audio is read."""
