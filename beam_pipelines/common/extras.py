"""The extras that install optional packages, for the message about a missing one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from beam_pipelines.common.errors import UserError

DOCTOR_HINT = "beamtune doctor shows what is missing or broken"

_EXTRAS = {
    "apache_beam": "beam",
    "fastapi": "serve",
    "google": "cloud",
    "google.cloud.aiplatform_v1": "launch",
    "google.cloud.run_v2": "launch",
    "grpc": "tune",
    "jinja2": "explore",
    "keras": "train",
    "keras_tuner": "tune",
    "matplotlib": "train",
    "mutagen": "tag",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "prometheus_client": "serve",
    "pyarrow": "parquet",
    "python_multipart": "serve",
    "sklearn": "train",
    "starlette": "serve",
    "swagger_ui_bundle": "serve",
    "tensorboard": "train",
    "tensorflow": "train",
    "tensorflow_io": "io",
    "tf2onnx": "onnx",
    "uvicorn": "serve",
}


@contextmanager
def naming_missing_extras(extras: Sequence[str] = ()) -> Iterator[None]:
    """Turns the failed import of a package of an extra into a UserError that names the extra. Also a decorator.

    Args:
        extras: Those that a command needs: if the package is of one of them, all are named.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = error.name or ""
        extra = _EXTRAS.get(name, _EXTRAS.get(name.split(".")[0]))
        if extra is None:
            raise
        named = ",".join(extras) if extra in extras else extra
        raise UserError(
            f"this needs {error.name}, which is not installed: pip install 'beamtune[{named}]' ({DOCTOR_HINT})"
        ) from error
