"""Keras and the parts of models that need it, imported when first used.

The command line reads the settings of all models, which are defined in the modules of the networks. Importing Keras
takes seconds, and `--help` and `--show-config` must not wait for it. A return type is quoted ("keras.Model") for the
same reason.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras as keras

    from trainer.models import blocks as blocks
    from trainer.models import layers as layers
    from trainer.models import pretrained as pretrained
else:

    class _LazyModule:
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    keras = _LazyModule("keras")
    blocks = _LazyModule("trainer.models.blocks")
    layers = _LazyModule("trainer.models.layers")
    pretrained = _LazyModule("trainer.models.pretrained")
