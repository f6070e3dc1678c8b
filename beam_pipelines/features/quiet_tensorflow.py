"""What is set before TensorFlow is imported. Nothing here imports it."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from beam_pipelines.audio.quiet_decoders import silenced_decoders

_FATAL = "3"


def set_up_tensorflow() -> None:
    """Chooses Keras' backend, and hides what TensorFlow logs, unless TF_CPP_MIN_LOG_LEVEL asks for it.

    Errors are raised as exceptions, and other messages, such as those on missing GPU libraries, would hide the output
    of the command.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    is_hidden = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _FATAL) == _FATAL
    if is_hidden and not any(isinstance(finder, _QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


class _QuietImport(MetaPathFinder):
    """Hides what is logged while TensorFlow is imported: from 2.18 on its libraries log before they read the level."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_quietly(module: ModuleType) -> None:
            with silenced_decoders():
                execute(module)

        spec.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec
