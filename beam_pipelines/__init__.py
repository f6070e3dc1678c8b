"""Audio in, sharded TFRecords out: the data half of beamtune."""
