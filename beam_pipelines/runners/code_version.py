"""The version of the code that a process runs: workers compare theirs with that of the process that started them."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import beam_pipelines
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.package_builds import beamtune_version


@dataclass(frozen=True)
class CodeVersion:
    """The code of a process.

    Attributes:
        version: The version of the installed package; "unknown" where only the source is there.
        source_hash: The first 16 hexadecimal digits of the SHA-256 of the names and contents of all Python files.
    """

    version: str
    source_hash: str

    def __str__(self) -> str:
        return f"beamtune {self.version} (source {self.source_hash})"


@cache
def code_version() -> CodeVersion:
    """Returns the version of the code in this process."""
    return CodeVersion(version=beamtune_version(), source_hash=hash_sources(Path(beam_pipelines.__file__).parent))


def hash_sources(folder: Path) -> str:
    """Returns the hash of `CodeVersion` for the Python files in a folder and below it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def require_same_code(launcher: CodeVersion) -> None:
    """Checks that this worker runs the code of the process that started the pipeline.

    Raises:
        RunFailedError: It runs other code, whose results would be taken for those of this version.
    """
    worker = code_version()
    if worker != launcher:
        raise RunFailedError(
            f"a worker runs {worker}, and the command that started it {launcher}: install the same beamtune on the "
            "workers, e.g. build their image again"
        )
