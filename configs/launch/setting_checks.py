"""Checks of settings `launch.*` that several targets have in common."""

import re
from collections.abc import Iterable, Mapping

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError

# host/path[:tag][@sha256:digest]; a host has a dot or a port, or is localhost.
IMAGE = re.compile(
    r"(?P<host>localhost(:[0-9]{1,5})?|[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?)(?P<path>(/[a-z0-9]+([._-]+[a-z0-9]+)*)+)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MAX_ENVIRONMENT = 32
# Variables of libraries that are no secrets. Vertex AI sets AIP_*, CLUSTER_SPEC and TF_CONFIG by itself.
_ENVIRONMENT = re.compile(
    r"(TF|NCCL|OMP|MKL|XLA|KERAS|GCS|BEAMTUNE|CUDA)_[A-Z0-9_]{1,60}|PYTHONHASHSEED|PYTHONUNBUFFERED"
)
_SET_BY_SERVICE = ("TF_CONFIG",)


def check_texts(config: object, forms: Iterable[tuple[str, re.Pattern[str], str]]) -> None:
    """Raises a UserError unless each of some settings is None or has its form.

    Args:
        config: The settings of a launch.
        forms: The name of each setting, its form, and what is expected, for the message.
    """
    for name, pattern, expected in forms:
        check_text(getattr(config, name), pattern, key=f"launch.{name}", expected=expected)


def check_range(config: object, name: str, least: int, most: int, unit: str = "") -> None:
    """Raises a UserError unless a number is in its range.

    Args:
        config: The settings of a launch.
        name: The name of the setting.
        least: The least value.
        most: The greatest value.
        unit: What follows the range in the message.
    """
    value = getattr(config, name)
    check(least <= value <= most, key=f"launch.{name}", value=value, expected=f"{least} to {most}{unit}")


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises a UserError unless variables are few, and of the names that hold no secrets."""
    check(
        len(environment) <= _MAX_ENVIRONMENT,
        key="launch.environment",
        value=len(environment),
        expected=f"at most {_MAX_ENVIRONMENT} variables",
    )
    for name in environment:
        # The value is not shown: a variable with another name may hold a secret.
        if _ENVIRONMENT.fullmatch(name) is None or name in _SET_BY_SERVICE:
            raise UserError(
                f"launch.environment: {name} is not passed on: expected names that begin with TF_, NCCL_, OMP_, "
                "MKL_, XLA_, KERAS_, GCS_, CUDA_ or BEAMTUNE_; the job reads secrets with its service account"
            )


def check_text(value: str | None, pattern: re.Pattern[str], *, key: str, expected: str) -> None:
    """Raises a UserError unless a value is None or has a form."""
    check(value is None or pattern.fullmatch(value) is not None, key=key, value=value, expected=expected)
