"""A prepared data set → shuffled, augmented batches of examples as tf.data."""
