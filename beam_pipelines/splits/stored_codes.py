"""The acoustic fingerprints of many tracks in a temporary file: those of a million tracks need 2 GB."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from beam_pipelines.splits.acoustic_fingerprint import Codes

_BLOCK_CODES = 1 << 20


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

    def blocks(self) -> Iterator[tuple[Codes, npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
        """Yields the codes, the track of each and its position in that track, for some whole tracks at a time."""
        first = 0
        while first < len(self):
            end = int(np.searchsorted(self._starts, self._starts[first] + _BLOCK_CODES, side="right")) - 1
            end = max(end, first + 1)
            starts = self._starts[first : end + 1]
            lengths = np.diff(starts)
            values = self._read(int(starts[0]), int(starts[-1]))
            positions = np.arange(len(values)) - np.repeat(starts[:-1] - starts[0], lengths)
            yield values, np.repeat(np.arange(first, end), lengths), positions.astype(np.int32)
            first = end

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
