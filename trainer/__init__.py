"""From a prepared data set to a trained genre classifier: training, evaluation and prediction."""

import os

# Both are read when TensorFlow or Keras is first imported, and every import of them in this package comes after this.
# Only fatal messages are logged: errors are raised as exceptions, and other messages, such as those on missing GPU
# libraries, would hide the command's own output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
