"""`beamtune doctor`: looks at everything, and prints it."""

import asyncio
import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import Any, TextIO

from beam_pipelines.common.package_builds import version_of
from beam_pipelines.common.terminal import say_step
from configs.command import Command
from configs.doctor.config import DoctorConfig
from configs.doctor.credentials import find_credentials
from configs.doctor.decoders import FORMATS, find_decoders
from configs.doctor.devices import CUDA_DRIVER, find_devices
from configs.doctor.findings import BROKEN, MISSING, OK, Finding, has_problem
from configs.doctor.libraries import GROUPS, LIBRARIES, find_libraries, find_python
from configs.doctor.probes import DECODE, GPU, IMPORT, probe
from configs.doctor.report import print_findings
from configs.doctor.requirements import parse_requirements, read_requirements
from configs.doctor.usable import find_commands, find_extras


def doctor(config: DoctorConfig, commands: Iterable[Command], *, output_format: str, stream: TextIO) -> int:
    """Prints what is installed, what works and what is missing, as table, json or csv.

    Args:
        config: The settings.
        commands: The commands to say it of.
        output_format: table, json or csv.
        stream: The stream to print to.

    Returns:
        The exit code: 1 if something that is installed does not work or has an unsupported version, 0 otherwise.
    """
    say_step("importing the libraries and decoding a tone in each format")
    findings = _look(asyncio.run(_probe_all(timeout_s=config.timeout_s)), commands)
    print_findings(findings, output_format=output_format, stream=stream)
    return 1 if has_problem(findings) else 0


async def _probe_all(*, timeout_s: float) -> dict[str, Mapping[str, Any]]:
    """Returns what the child processes say of each module, each audio format and the driver of the GPU."""
    needs = {library.module: library.needs for library in LIBRARIES}
    results = await asyncio.gather(
        *(probe(IMPORT, [library.module for library in group], timeout_s=timeout_s, needs=needs) for group in GROUPS),
        probe(DECODE, FORMATS, timeout_s=timeout_s),
        probe(GPU, [CUDA_DRIVER], timeout_s=timeout_s),
    )
    return {name: result for group in results for name, result in group.items()}


def _look(probed: Mapping[str, Mapping[str, Any]], commands: Iterable[Command]) -> list[Finding]:
    try:
        requirements = read_requirements()
        beamtune = Finding("version", "beamtune", OK, version_of("beamtune") or "")
    except PackageNotFoundError:
        requirements = parse_requirements(python="", lines=[], extras=[])
        beamtune = Finding(
            *("version", "beamtune", BROKEN, "not installed"),
            expected="its metadata, which have the ranges of versions",
            fix="pip install beamtune, or in a checkout: pip install .",
        )
    libraries = find_libraries(probed, requirements, version_of=version_of)
    versions = [find_python(platform.python_version(), requirements), beamtune, *libraries]
    extras = find_extras(requirements, libraries, version_of=version_of)
    has_cuda_libraries = any(extra.name == "gpu" and extra.state == OK for extra in extras)
    advice = next((extra.fix for extra in extras if extra.name == "gpu"), None)
    has_gpu = bool(probed[CUDA_DRIVER].get("gpus"))
    return [
        *versions,
        *find_devices(probed[CUDA_DRIVER], probed["tensorflow"], has_cuda_libraries=has_cuda_libraries, advice=advice),
        *find_decoders(probed),
        # Without a GPU there is nothing to install; with one, the row of the device says what.
        *(
            replace(one, fix=None) if one.name == "gpu" and one.state == MISSING and not has_gpu else one
            for one in extras
        ),
        find_credentials(),
        *find_commands(commands, extras, libraries, requirements),
    ]
