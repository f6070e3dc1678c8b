"""The command `serve` of a container: its model and its settings, checked here as the container will check them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.package_builds import beamtune_version
from beam_pipelines.common.paths import is_in_bucket
from configs.compose import compose, to_dataclass
from configs.launch.identity import LAUNCH_LABEL
from configs.launch.one_line_words import check_means_the_same
from configs.launch.serving.options import SERVE

ENDPOINT_LABEL = "beamtune-endpoint"
# The platform chooses the address, and knows who may ask.
_CHOSEN_BY_PLATFORM = ("host", "port", "token_file", "allowed_hosts")


@dataclass(frozen=True)
class Served:
    """A model that is served.

    Attributes:
        directory: The run or the export, gs://.
        words: The settings of `serve`, each as key=value.
        config: The settings, checked.
    """

    directory: str
    words: Sequence[str]
    config: Any


def served_command(paths: Sequence[str], words: Sequence[str]) -> Served:
    """Returns a model and settings that are checked.

    Args:
        paths: The positional paths of the command: one run or export.
        words: Its settings, each as key=value.

    Raises:
        UserError: There is not one path in a bucket, or a setting is wrong or is that of the platform.
    """
    if len(paths) != 1:
        raise UserError(f"launch … serve takes one path, that of a run or an export: got {' '.join(paths) or 'none'}")
    directory = paths[0].rstrip("/")
    if not is_in_bucket(directory):
        raise UserError(
            f"{directory} is on this machine, which a server does not reach: copy it with beamtune sync {directory} "
            "gs://BUCKET/…"
        )
    cloud_names.check_bucket_path(directory, key=SERVE, because="a server does not reach the files of this machine")
    check_means_the_same(words)
    config: Any = to_dataclass(compose(SERVE, words))
    for name in _CHOSEN_BY_PLATFORM:
        value = getattr(config, name)
        check(not value and value != 0, key=name, value=value, expected="nothing: the platform chooses who connects")
    return Served(directory, list(words), config)


def key_of(content: Mapping[str, Any]) -> str:
    """Returns what is known by its content: 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def labels_of(own: Mapping[str, str], key: str) -> dict[str, str]:
    """Returns the labels of what is made for a server: those of the settings, and those by which it is found again."""
    version = beamtune_version().replace(".", "-").replace("+", "-").lower()
    return {**own, LAUNCH_LABEL: key, "beamtune-command": SERVE, "beamtune-version": version}
