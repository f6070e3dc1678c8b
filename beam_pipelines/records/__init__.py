"""The format of a prepared data set: TFRecord framing, tf.train.Example, and the metadata files beside the shards."""
