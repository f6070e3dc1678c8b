"""`beamtune explore`: a page and TensorBoard events that show a prepared data set."""
