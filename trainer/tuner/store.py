"""The state of a search on disk or gs://: written whole, checked when read, and by one chief at a time.

All of it is told by the names of files that are written once and never changed, because a listing is the one thing that
local disks and object stores answer truly at once:

    <search_dir>/state/terms/00000002.9f3c….json            the chief that writes now: the last name counts
    <search_dir>/state/search/00000002.9f3c….00000041.json  the state, by term, chief and generation

A chief looks at the terms before and after each write. After: what it told nobody yet, its successor may not have read.
"""

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.common import files

_KEPT_GENERATIONS = 2
_READ_ATTEMPTS = 5


class Damaged(Exception):  # noqa: N818 - the reason why a file is passed over
    """A file of the state is not as it was written, for the reason in the message."""


class Deposed(RunFailedError):  # noqa: N818 - says what happened
    """Another chief has taken the search over; this one must not answer anybody any more."""


@dataclass(frozen=True, order=True)
class Term:
    """The time of one chief.

    Attributes:
        number: Counts up with each chief.
        owner: The chief's random name: of two that begin at the same time, the greater has it.
    """

    number: int
    owner: str

    @property
    def prefix(self) -> str:
        """What the names of its files begin with."""
        return f"{self.number:08d}.{self.owner}"


@dataclass(frozen=True)
class Loaded:
    """What was read.

    Attributes:
        payload: The content.
        generation: Its number.
        damaged: A line for each newer file that had to be passed over.
    """

    payload: dict[str, Any]
    generation: int
    damaged: tuple[str, ...]


class Fence:
    """The right to write the state of a search, and the sight of having lost it."""

    def __init__(self, search_dir: str, term: Term) -> None:
        self.term = term
        self._terms_dir = _terms_dir(search_dir)

    @classmethod
    def take(cls, search_dir: str, *, address: str) -> "Fence":
        """Begins a term, and so ends the one before.

        Args:
            search_dir: The search.
            address: Where workers find the chief, host:port.

        Raises:
            UserError: The directory cannot be written.
        """
        directory = _terms_dir(search_dir)
        try:
            tf.io.gfile.makedirs(directory)
            last = _last_term(directory)
            term = Term(1 if last is None else last.number + 1, secrets.token_hex(8))
            about = {"address": address, "host": socket.gethostname(), "pid": os.getpid(), "started_s": time.time()}
            files.write_text(files.join(directory, f"{term.prefix}.json"), _sealed(about))
        except tf.errors.OpError as error:
            raise UserError(f"search_dir={search_dir} cannot be written: {error.message}") from error
        return cls(search_dir, term)

    def check(self) -> None:
        """Makes sure that this chief is still the one.

        Raises:
            Deposed: It is not.
        """
        if _last_term(self._terms_dir) != self.term:
            raise Deposed("another chief has taken this search over; this one ends, and nothing is lost")


def find_chief(search_dir: str) -> tuple[Term, str] | None:
    """Returns the term of the last chief and its address, host:port; None where there was none."""
    directory = _terms_dir(search_dir)
    term = _last_term(directory)
    if term is None:
        return None
    try:
        about = _unsealed(files.read_text(files.join(directory, f"{term.prefix}.json")))
    except (Damaged, UnicodeDecodeError, tf.errors.OpError):
        return None
    return term, str(about["address"])


def has_had_chief(search_dir: str, owner: str) -> bool:
    """Returns whether a chief, by its random name, has ever had this search."""
    return any(name.split(".")[1:2] == [owner] for name in _listed(_terms_dir(search_dir)))


class Document:
    """A JSON document of which each generation is a file."""

    def __init__(self, search_dir: str, *names: str) -> None:
        """Touches nothing yet.

        Args:
            search_dir: The search.
            names: The folder below its state.
        """
        self._directory = files.join(search_dir, "state", *names)
        self._generation = 0
        self._paths: list[str] = []

    def read(self) -> Loaded | None:
        """Returns the newest generation that is whole; None where none was ever written.

        Raises:
            UserError: None of them is whole.
        """
        for _ in range(_READ_ATTEMPTS):
            loaded = self._read_once()
            if not isinstance(loaded, list):
                return loaded
            if loaded:
                raise UserError(f"{'; '.join(loaded)}: put back a copy, or choose another search_dir")
        raise UserError(f"{self._directory} changes faster than it can be read: try again")

    def _read_once(self) -> Loaded | list[str] | None:
        """Returns the newest whole generation; or what was damaged, which is nothing where all files have just gone."""
        names = [name for name in _listed(self._directory) if name.endswith(".json")]
        self._paths = [files.join(self._directory, name) for name in names]
        if not names:
            return None
        self._generation = max(_generation_of(name) for name in names)
        damaged: list[str] = []
        for name, path in zip(reversed(names), reversed(self._paths), strict=True):
            try:
                return Loaded(_unsealed(files.read_text(path)), _generation_of(name), tuple(damaged))
            except (Damaged, UnicodeDecodeError) as error:
                damaged.append(f"{path} is damaged ({error})")
            except tf.errors.NotFoundError:
                continue  # its writer has replaced it meanwhile
        return damaged

    def write(self, payload: Mapping[str, Any], *, fence: Fence) -> None:
        """Writes the next generation whole; the one before it is kept.

        Raises:
            Deposed: Another chief has taken over. What was written counts for nothing then.
            RunFailedError: It cannot be written.
        """
        fence.check()
        self._generation += 1
        path = files.join(self._directory, f"{fence.term.prefix}.{self._generation:08d}.json")
        try:
            if not self._paths:
                tf.io.gfile.makedirs(self._directory)
            files.write_text(path, _sealed(payload))
            self._paths.append(path)
            while len(self._paths) > _KEPT_GENERATIONS:
                _remove(self._paths.pop(0))
        except tf.errors.OpError as error:
            raise RunFailedError(f"{path} cannot be written: {error.message}") from error
        fence.check()


def _terms_dir(search_dir: str) -> str:
    return files.join(search_dir, "state", "terms")


def _last_term(directory: str) -> Term | None:
    terms = []
    for name in _listed(directory):
        number, owner, *rest = [*name.split("."), "", ""]
        if number.isdigit() and rest[0] == "json":
            terms.append(Term(int(number), owner))
    return max(terms, default=None)


def _listed(directory: str) -> list[str]:
    """Returns the names in a folder, sorted; none where there is no such folder."""
    try:
        return sorted(tf.io.gfile.listdir(directory))
    except tf.errors.NotFoundError:
        return []


def _generation_of(name: str) -> int:
    generation = name.split(".")[-2]
    return int(generation) if generation.isdigit() else 0


def _remove(path: str) -> None:
    try:
        tf.io.gfile.remove(path)
    except tf.errors.NotFoundError:
        return


def _sealed(payload: Mapping[str, Any]) -> str:
    """Returns a line with the checksum of the payload, and the payload; the same payload gives the same text."""
    text = json.dumps(payload, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"sha256": "{digest}", "payload":\n{text}\n}}\n'


def _unsealed(text: str) -> dict[str, Any]:
    """Returns the payload of a text that `_sealed` made.

    Raises:
        Damaged: The text is another one.
    """
    if not text:
        raise Damaged("it is empty")
    if not text.endswith("\n}\n"):
        raise Damaged(f"it ends after {len(text)} characters, before its end")
    header, _, rest = text.partition("\n")
    payload = rest.removesuffix("\n}\n")
    if header != f'{{"sha256": "{hashlib.sha256(payload.encode()).hexdigest()}", "payload":':
        raise Damaged("its checksum is another one")
    content = json.loads(payload)
    if not isinstance(content, dict):
        raise Damaged("it holds something else")
    return content
