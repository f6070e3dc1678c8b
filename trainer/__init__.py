"""From a prepared data set to a trained genre classifier: training, evaluation and prediction."""

from beam_pipelines.features.quiet_tensorflow import set_up_tensorflow

# Every import of TensorFlow and Keras in this package comes after this.
set_up_tensorflow()
