"""What a job is known by: the command, its settings and the data, so that the same job is not started twice."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from beam_pipelines.common.package_builds import beamtune_version
from configs.launch.launched import Launched

LAUNCH_LABEL = "beamtune-launch"
_HASH_DIGITS = 32
_SHOWN_DIGITS = 10
# Where a command runs, and how it reaches its buckets.
_NOT_KNOWN_BY = ("runner", "storage")


@dataclass(frozen=True)
class JobIdentity:
    """What a job is known by.

    Attributes:
        key: Hexadecimal digits of the SHA-256 of the command, its settings and the data.
        command: The command, such as "train".
        version: The version of beamtune that launched it.
    """

    key: str
    command: str
    version: str

    @property
    def display_name(self) -> str:
        """The name that the console of the service shows."""
        return f"beamtune-{self.command}-{self.key[:_SHOWN_DIGITS]}"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels by which `beamtune launch` finds the job again."""
        return {
            LAUNCH_LABEL: self.key,
            "beamtune-command": self.command,
            "beamtune-version": self.version.replace(".", "-").replace("+", "-").lower(),
        }


def identify(launched: Launched, *, data_key: str | None) -> JobIdentity:
    """Returns what a command is known by; where and on what it runs is no part of it.

    Args:
        launched: The command.
        data_key: The cache key of the prepared data that it reads; None if it reads none, or this is not known.
    """
    config = {key: value for key, value in asdict(launched.own_config).items() if key not in _NOT_KNOWN_BY}
    content = {"command": launched.name, "paths": launched.paths, "config": config, "data": data_key}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    key = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    return JobIdentity(key=key, command=launched.name, version=beamtune_version())
