"""Keeps Keras from importing libraries that no command uses through it.

`import keras` also imports matplotlib, pandas and scikit-learn where they are installed, for its wrappers and its
galleries of images: a third of its time. Where they are missing, it does without. Commands that draw or fit import
these libraries themselves.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from beam_pipelines.common.while_importing import while_importing

_OPTIONAL = ("matplotlib", "pandas", "sklearn")


def install() -> None:
    """Takes effect for the rest of the process, which must be one of beamtune's own.

    `keras.wrappers` and `keras.utils.plot_image_gallery` do not work in it.
    """
    while_importing("keras", _without_optional_libraries)


@contextmanager
def _without_optional_libraries() -> Iterator[None]:
    refused = [name for name in _OPTIONAL if name not in sys.modules]
    for name in refused:
        sys.modules[name] = None  # type: ignore[assignment]  # the import of such a name fails
    try:
        yield
    finally:
        for name in refused:
            del sys.modules[name]
