"""Settings and feature shapes → a Keras model from features to logits."""
