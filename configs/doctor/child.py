"""What the child processes of `beamtune doctor` do: each step prints one line of JSON."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from configs.doctor.probes import DECODE, GPU, IMPORT, describe_error


def run() -> None:
    """Does the step that the first argument names with each of the other ones."""
    # What libraries print goes elsewhere, whether they print it from Python or from C.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    kind, *names = sys.argv[1:]
    for name in names:
        try:
            result = _STEPS[kind](name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an extension may raise anything, also SystemExit
            result = {"error": describe_error(error)}
            if isinstance(error, ModuleNotFoundError):
                result["missing"] = error.name
        print(json.dumps(result), file=results, flush=True)
    os._exit(0)  # threads of libraries, and their exit handlers, may hang or crash


def _import(module: str) -> Mapping[str, Any]:
    import trainer  # noqa: F401  # sets what TensorFlow and Keras read when they are imported

    imported = importlib.import_module(module)
    facts = _FACTS[module](imported) if module in _FACTS else {}
    return {"version": getattr(imported, "__version__", None), **facts}


def _decode(audio_format: str) -> Mapping[str, Any]:
    from configs.doctor.decoders import decoders_of

    return {"decoders": decoders_of(audio_format)}


def _gpu(library: str) -> Mapping[str, Any]:
    from configs.doctor.devices import nvidia_gpus

    return {"gpus": nvidia_gpus(library)}


_STEPS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {IMPORT: _import, DECODE: _decode, GPU: _gpu}

_FACTS: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "av": lambda av: {"inside": f"FFmpeg {av.ffmpeg_version_info}"},
    "soundfile": lambda soundfile: {"inside": f"libsndfile {soundfile.__libsndfile_version__}"},
    "tensorflow": lambda tf: {"num_gpus": len(tf.config.list_physical_devices("GPU"))},
}
