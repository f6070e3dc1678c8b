"""The settings of `beamtune download`."""

import re
from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice, check_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.download.catalog import ARCHIVES, FMA_BASE_URL, GTZAN


@dataclass(frozen=True)
class DownloadConfig:
    """The settings of `beamtune download`; wrong values are a UserError.

    Attributes:
        name: What to download: an archive of the catalog, or gtzan, which is only checked.
        root: The local folder to which archives are downloaded and extracted.
        base_url: The folder of FMA's archives on a server, http or https; another one is that of a mirror.
        keep_archive: Whether the archive is kept after it is extracted.
        gtzan_path: The user's own copy of GTZAN, a local folder or archive.
    """

    name: str = ""
    root: str = "data/fma"
    base_url: str = FMA_BASE_URL
    keep_archive: bool = False
    gtzan_path: str | None = None

    def __post_init__(self) -> None:
        choices = (*ARCHIVES, GTZAN)
        if not self.name:
            raise UserError(f"the name is missing: expected beamtune download NAME, one of {', '.join(choices)}")
        check_choice(self.name, choices, key="name")
        _check_local(self.root, key="root")
        check(
            re.match(r"https?://[^/]", self.base_url) is not None,
            key="base_url",
            value=self.base_url,
            expected="an address that starts with https:// or http://",
        )
        if self.gtzan_path is not None:
            _check_local(self.gtzan_path, key="gtzan_path")
            check(self.name == GTZAN, key="gtzan_path", value=self.gtzan_path, expected="it with gtzan only")


def _check_local(path: str, *, key: str) -> None:
    check_path(path, key=key)
    if is_in_bucket(path) and key == "root":
        raise UserError(
            f"{key}={path}: expected a local folder, because archives are extracted on a disk: download to one, then "
            f"copy it: beamtune sync FOLDER {path}"
        )
    check(is_local(path), key=key, value=path, expected="a local path, not an address")
