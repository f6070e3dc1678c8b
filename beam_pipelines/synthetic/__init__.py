"""A seed → a labelled collection of composed mp3 files: the data set that needs no download."""
