"""The devices that train."""

from typing import Any

import tensorflow as tf

from trainer.config import StrategyConfig


def make_strategy(config: StrategyConfig) -> Any:
    """Returns the tf.distribute.Strategy that the config asks for.

    The default strategy of TensorFlow is a strategy like any other, with one replica, so that nothing after this call
    asks which one it is.
    """
    strategies = {"none": tf.distribute.get_strategy}
    return strategies[config.kind]()
