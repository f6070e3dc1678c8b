"""Converting between numbers of channels."""

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.decode import Block


def to_mono(block: Block) -> npt.NDArray[np.float32]:
    """(frames, channels) → (frames,): the mean of the channels, as a copy."""
    channels = block.shape[1]
    if channels == 1:
        return block[:, 0].copy()
    # Column by column: `block.mean(axis=1)` loops over two values per frame and takes many times as long.
    mono = block[:, 0] + block[:, 1]
    for channel in range(2, channels):
        mono += block[:, channel]
    mono /= np.float32(channels)
    return mono


def with_channels(block: Block, channels: int) -> Block:
    """(frames, any) → (frames, channels): the block itself, or the mean of its channels in each channel."""
    if block.shape[1] == channels:
        return block
    return np.repeat(to_mono(block)[:, None], channels, axis=1)
