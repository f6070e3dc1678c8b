"""What other commands say of an installation that does not suit them: one line, which names `beamtune doctor`."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from types import TracebackType

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import DOCTOR_HINT
from beam_pipelines.common.package_builds import installed_builds

_OWN = ("beam_pipelines", "beamtune", "configs", "trainer", "__main__")
_TIMEOUT_S = 120.0


def check_start(extras: Sequence[str]) -> list[str]:
    """Returns a line for Python, and for each library of some extras, of a version that is not supported.

    Raises:
        UserError: Importing TensorFlow would end the process, because the CPU lacks AVX.
    """
    from configs.doctor.libraries import LIBRARIES, find_python, version_problem
    from configs.doctor.requirements import read_requirements

    try:
        requirements = read_requirements()
    except PackageNotFoundError:  # a checkout that is not installed: there are no ranges
        return []
    packages = {one.name for extra in extras for one in requirements.extras.get(extra, ())}
    found = [find_python(platform.python_version(), requirements)]
    for library in LIBRARIES:
        builds = installed_builds(library.package) if library.package in packages else {}
        problem = version_problem(library.package, builds, requirements) if builds else None
        found += [] if problem is None else [problem]
    if "tensorflow" in packages:
        _check_avx()
    return [
        f"{one.name} {one.found} is not supported: expected {one.expected}: {one.fix} ({DOCTOR_HINT})"
        for one in found
        if one.expected is not None
    ]


def describe_failed_import(error: BaseException) -> str | None:
    """Returns a line for an error that a package of others has raised while it was imported; None for other errors."""
    package = _imported_package(error.__traceback__)
    if package is None and isinstance(error, ImportError) and error.name:
        package = error.name.partition(".")[0]
    if package is None or package in _OWN:
        return None
    from configs.doctor.probes import describe_error

    return f"{package} cannot be imported: {describe_error(error)}: {DOCTOR_HINT}"


def _imported_package(traceback: TracebackType | None) -> str | None:
    """Returns the first package of others whose code runs because it is imported, and not because it is called."""
    while traceback is not None:
        frame = traceback.tb_frame
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code.co_name == "<module>" and package not in _OWN:
            return package
        traceback = traceback.tb_next
    return None


def _check_avx() -> None:
    from configs.doctor.libraries import lacks_avx

    if not lacks_avx():
        return
    import asyncio  # 15 ms, which few need

    from configs.doctor.probes import IMPORT, probe

    # A TensorFlow that is built for such a CPU can be imported.
    if "error" in asyncio.run(probe(IMPORT, ["tensorflow"], timeout_s=_TIMEOUT_S))["tensorflow"]:
        raise UserError(f"TensorFlow needs a CPU with AVX, which this one lacks: use another machine ({DOCTOR_HINT})")
