"""The extras that install optional packages, for the message about a missing one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

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


def is_installed(module: str) -> bool:
    """Returns whether a module of an extra is there, without an import.

    Args:
        module: The name of a package, not of a module in one, whose package would be imported.
    """
    return find_spec(module) is not None


def check_installed(*modules: str) -> None:
    """Checks that modules are there, before work whose end needs them; without an import.

    Args:
        modules: As for `is_installed`.

    Raises:
        ModuleNotFoundError: One of them is not; `naming_missing_extras` says which extra installs it.
    """
    for module in modules:
        if not is_installed(module):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


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
