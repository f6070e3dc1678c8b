"""The state of a search on disk or gs://: written as whole files, verified when read, and by one chief at a time.

A state is written as `<search_dir>/state/search/<lease>.<generation>.json`. Files are written once and never changed,
so that a name identifies the lease and the generation of the content. A chief checks its lease before and after each
write: a successor may have read the state before a write that ended late.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common import files
from trainer.tuner.service.checked_json import DamagedFileError, dump_checked, load_checked
from trainer.tuner.service.leader_lease import LeaderLease

_KEPT_GENERATIONS = 2
_READ_ATTEMPTS = 5


class StateFile:
    """A JSON object of which each generation is a file in `<search_dir>/state/<names>`.

    Attributes:
        damaged: A line for each damaged file that is newer than what was read.
    """

    def __init__(self, search_dir: str, *names: str) -> None:
        self.damaged: list[str] = []
        self._directory = files.join(search_dir, "state", *names)
        self._generation = 0
        self._paths: list[str] = []

    def read(self) -> dict[str, Any] | None:
        """Returns the newest generation that is not damaged; None if none was ever written.

        Raises:
            UserError: All generations are damaged.
        """
        for _ in range(_READ_ATTEMPTS):
            names = [name for name in files.list_if_exists(self._directory) if name.endswith(".json")]
            self._paths = [files.join(self._directory, name) for name in names]
            if not names:
                return None
            self._generation = max(map(_generation_of, names))
            self.damaged = []
            for path in reversed(self._paths):
                try:
                    return load_checked(files.read_text(path))
                except (DamagedFileError, UnicodeDecodeError) as error:
                    self.damaged.append(f"{path} is damaged ({error})")
                except files.MissingFileError:
                    continue  # its writer has replaced it meanwhile
            if self.damaged:
                raise UserError(f"{'; '.join(self.damaged)}: restore a copy, or choose another search_dir")
        raise UserError(f"{self._directory} changes faster than it can be read: try again")

    def write(self, payload: Mapping[str, Any], *, lease: LeaderLease) -> None:
        """Writes the next generation; the one before it is kept.

        Raises:
            LostLeadershipError: Another chief has taken over, which ignores what was written.
            RunFailedError: The file cannot be written.
            RunAgainError: The storage fails in a way that may pass, or its bucket cannot be reached.
        """
        self._generation += 1
        path = files.join(self._directory, f"{lease.file_prefix}.{self._generation:08d}.json")
        try:
            lease.check()
            if not self._paths:
                files.make_dirs(self._directory)
            files.write_text(path, dump_checked(payload))
            self._paths.append(path)
            while len(self._paths) > _KEPT_GENERATIONS:
                with suppress(files.MissingFileError):
                    files.remove(self._paths.pop(0))
            lease.check()
        except files.PassingFileError as error:
            raise RunAgainError(f"{path} cannot be written: {error.message}: run the same command again") from error
        except files.FileError as error:
            raise RunFailedError(f"{path} cannot be written: {error.message}") from error


def _generation_of(name: str) -> int:
    generation = name.split(".")[-2]
    return int(generation) if generation.isdigit() else 0
