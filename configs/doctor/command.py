"""The command `doctor`."""

import sys

from configs.command import Command, Invocation, load_config


def _doctor(invocation: Invocation) -> int:
    from configs.commands import COMMANDS
    from configs.doctor.config import DoctorConfig
    from configs.doctor.doctor import doctor

    # Settings are read with Hydra, which may be what is broken.
    config = load_config(DoctorConfig, "doctor", invocation.overrides) if invocation.overrides else DoctorConfig()
    others = [command for command in COMMANDS.values() if command is not COMMAND]
    return doctor(config, others, output_format=invocation.output_format, stream=sys.stdout)


COMMAND = Command(
    name="doctor",
    summary="show what is installed, what works, and what is missing for each command",
    description=(
        "Prints the versions of the libraries, devices, the libraries that read each audio format, extras,\n"
        "credentials for gs://, and whether each command runs. It imports the libraries in child processes,\n"
        "decodes a short tone in each format, and uses no network. Below the table it says what to type.\n\n"
        "Exits with 1 if something that is installed does not work or has an unsupported version.\n\n"
        "settings: timeout_s (the most seconds for the imports)"
    ),
    examples=(
        "beamtune doctor",
        "beamtune doctor --json timeout_s=300",
    ),
    run=_doctor,
    output_formats=("json", "csv"),
)
