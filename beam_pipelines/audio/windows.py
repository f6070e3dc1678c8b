"""A long file in windows that fit into memory, which together have the segments of the whole file."""

from collections.abc import Iterator

import numpy as np

from beam_pipelines.audio.channels import to_mono
from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.decode import AudioStream, Block

# A file that is longer than this many seconds, eleven days, is damaged.
LONGEST_FILE_S = 1e6

_WINDOW_S = 120.0
# Added to each window: resampling may round its length down. Less than the shortest hop, so that no segment is added.
_SLACK_S = 0.005


def windows(stream: AudioStream, segment: SegmentConfig) -> Iterator[tuple[float, Block]]:
    """Yields the start of each window in seconds and its samples, (frames, 1) float32, the mean of the channels.

    A window begins where the first segment begins that the window before does not hold as a whole. What is behind the
    last whole segment of the file is left out.

    Args:
        stream: An open file.
        segment: Length and hop of the segments.

    Raises:
        AudioError: The file cannot be decoded, or holds no samples.
    """
    rate_hz = stream.sample_rate_hz
    hops = max(1, round(_WINDOW_S / segment.hop_s))
    length = round(((hops - 1) * segment.hop_s + segment.duration_s + _SLACK_S) * rate_hz)
    stride_s = hops * segment.hop_s
    # The number of the window's first frame in the file, and of the first frame in `pending`.
    start, first = 0, 0
    number = 0
    pending = np.empty(0, dtype=np.float32)
    for block in stream.blocks(max_duration_s=LONGEST_FILE_S):
        pending = np.concatenate([pending, to_mono(block)])
        while len(pending) >= start - first + length:
            yield number * stride_s, pending[start - first :][:length, np.newaxis]
            number += 1
            start = round(number * stride_s * rate_hz)
            num_done = min(start - first, len(pending))
            pending, first = pending[num_done:], first + num_done
    rest = pending[start - first :]
    if len(rest) >= round(segment.duration_s * rate_hz):
        yield number * stride_s, rest[:, np.newaxis]
