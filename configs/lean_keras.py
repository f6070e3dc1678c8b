"""Keeps Keras from importing libraries that no command uses through it.

`import keras` also imports matplotlib, pandas and scikit-learn where they are installed, for its wrappers and its
galleries of images: a third of its time. Where they are missing, it does without. Commands that draw or fit import
these libraries themselves.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_OPTIONAL = ("matplotlib", "pandas", "sklearn")


class _Finder(MetaPathFinder):
    """Refuses the optional libraries while Keras is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _OPTIONAL and _is_importing("keras"):
            raise ModuleNotFoundError(f"{fullname} is left out of Keras", name=fullname)
        return None


def install() -> None:
    """Takes effect for the rest of the process, which must be one of beamtune's own.

    `keras.wrappers` and `keras.utils.plot_image_gallery` do not work in it.
    """
    sys.meta_path.insert(0, _Finder())


def _is_importing(name: str) -> bool:
    # Python's own mark of a module whose code still runs; a version without it imports all, as without this finder.
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False) is True
