"""The acoustic fingerprints of many tracks in a temporary file: those of a million tracks need 2 GB."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import Codes

# Comparing them takes up to about 64 bytes each.
_BLOCK_CODES = 1 << 17


class StoredCodes:
    """Fingerprints in a local file, in the order in which they were stored. Made by `store_codes`."""

    def __init__(self, descriptor: int, lengths: npt.NDArray[np.int64]) -> None:
        """Reads from a file.

        Args:
            descriptor: The file, with the codes of all tracks one after the other.
            lengths: (tracks,) the number of codes of each track.
        """
        self._descriptor = descriptor
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        self.num_codes = int(self._starts[-1])
        self.max_length = int(lengths.max(initial=0))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, track: int) -> Codes:
        return self._read(int(self._starts[track]), int(self._starts[track + 1]))

    def blocks(self) -> Iterator[tuple[int, Codes]]:
        """Yields all codes in order, some at a time, each with the place of its first one among all."""
        for start in range(0, self.num_codes, _BLOCK_CODES):
            yield start, self._read(start, min(start + _BLOCK_CODES, self.num_codes))

    def locate(self, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Returns the track of each place among all codes, and the position in that track."""
        tracks = np.searchsorted(self._starts, places, side="right") - 1
        return tracks, places - self._starts[tracks]

    def _read(self, start: int, end: int) -> Codes:
        """Reads the codes between two places of the file. Not with a memory map: its pages count as memory."""
        codes = np.empty(end - start, dtype=np.uint32)
        num_bytes = os.preadv(self._descriptor, [codes.data], start * codes.itemsize) if len(codes) else 0
        if num_bytes != codes.nbytes:
            raise OSError(f"the temporary file of fingerprints ends after {num_bytes} of {codes.nbytes} bytes")
        return codes


@contextmanager
def store_codes(fingerprints: Iterable[Codes]) -> Iterator[StoredCodes]:
    """Writes fingerprints, (codes,) uint32 each, to a temporary file, which is deleted afterwards.

    Raises:
        OSError: The disk of the folder for temporary files is full.
    """
    with tempfile.TemporaryFile() as file:
        lengths = []
        for codes in fingerprints:
            file.write(np.ascontiguousarray(codes, dtype=np.uint32).data)
            lengths.append(len(codes))
        file.flush()
        yield StoredCodes(file.fileno(), np.array(lengths, dtype=np.int64))
