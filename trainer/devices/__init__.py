"""Settings and the environment → a tf.distribute strategy and the processes that share it."""
