"""The forms of names of Google Cloud, for checks of settings before a request is made."""

import re
from collections.abc import Mapping

from beam_pipelines.common.checks import check

PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]")
REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+-[a-z]")
ACCOUNT = re.compile(r"[^\s@]+@[^\s@]+")
KMS_KEY = re.compile(r"projects/[^\s/]+/locations/[^\s/]+/keyRings/[^\s/]+/cryptoKeys/[^\s/]+")
LABEL_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
LABEL_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
# https://cloud.google.com/storage/docs/buckets#naming
BUCKET_PATH = re.compile(r"gs://[a-z0-9][-a-z0-9._]{1,220}[a-z0-9](/.*)?")

LABEL_FORM = "at most 63 lower-case letters, digits, hyphens and underscores; a key begins with a letter"


def check_labels(labels: Mapping[str, str], *, key: str) -> None:
    """Raises a UserError unless labels are such as Google Cloud accepts.

    Args:
        labels: Values by name.
        key: Their setting.
    """
    for name, value in labels.items():
        check(
            LABEL_KEY.fullmatch(name) is not None and LABEL_VALUE.fullmatch(value) is not None,
            key=f"{key}.{name}",
            value=value,
            expected=LABEL_FORM,
        )


def check_bucket_path(path: str, *, key: str, because: str) -> None:
    """Raises a UserError unless a path is gs:// with the name of a bucket that can exist.

    Args:
        path: The path.
        key: Its setting.
        because: Why no other path will do, for the message.
    """
    check(path.startswith("gs://"), key=key, value=path, expected=f"a path that begins with gs://, because {because}")
    check(
        BUCKET_PATH.fullmatch(path) is not None,
        key=key,
        value=path,
        expected="the name of a bucket after gs://, which has 3 to 222 lower-case letters, digits, hyphens, dots and "
        "underscores",
    )
