"""Names and values as MLflow accepts them.

The limits are those of `mlflow.utils.validation`: names have letters, digits, and _ - . / and space, and are paths that
are not absolute and have no empty parts.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

_OTHER_CHARACTERS = re.compile(r"[^\w\-. /]", re.ASCII)
_MOST_NAME_CHARACTERS = 250
_MOST_VALUE_CHARACTERS = 6000
_HASH_DIGITS = 6


def mlflow_name(name: str) -> str:
    """Returns a name that MLflow accepts; one that has to be changed ends with a hash, so that it stays unique."""
    parts = ["_" if part in ("", ".", "..") else part for part in name.split("/")]
    accepted = _OTHER_CHARACTERS.sub("_", "/".join(parts))
    if accepted == name and len(name) <= _MOST_NAME_CHARACTERS:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{accepted[: _MOST_NAME_CHARACTERS - _HASH_DIGITS - 1]}-{digits}"


def mlflow_params(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns settings by dotted key as parameters; long values are cut off."""
    return {mlflow_name(key): _text(value) for key, value in settings.items()}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _MOST_VALUE_CHARACTERS else f"{text[: _MOST_VALUE_CHARACTERS - 1]}…"
