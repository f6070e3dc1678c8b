"""Embeddings by musicnn, or by the VGG beside it (Pons and Serra): networks trained to tag music.

The front end is `MusicnnSpectrogram`, and the networks are in `musicnn_network.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.musicnn_wheel import fetch_musicnn_wheel
from beam_pipelines.features.config import MUSICNN_LAYERS, MUSICNN_SAMPLE_RATE_HZ, MusicnnConfig
from beam_pipelines.features.musicnn_checkpoint import checkpoint_folder, read_checkpoint
from beam_pipelines.features.musicnn_log_mel import MusicnnSpectrogram
from beam_pipelines.features.musicnn_network import MusicnnNetwork
from beam_pipelines.features.patch_network import Array, LoadedNetworks
from beam_pipelines.records.schema import FeatureSpec

# The size of each layer.
LAYER_SIZES: Mapping[str, int] = {"penultimate": 200, "mean_pool": 753, "max_pool": 753, "pool5": 256, "tags": 50}

# Patches in a call of the network. It takes no less time for each of several patches, and more memory.
_BATCH_PATCHES = 1

_CHECK_NUM_SAMPLES = 3 * MUSICNN_SAMPLE_RATE_HZ
_BEAT_S = 0.48

_networks: LoadedNetworks[MusicnnNetwork] = LoadedNetworks()


class Musicnn:
    """The embeddings of a segment, (samples,) → (patches, values): one for every 187 frames of 16 ms, without overlap.

    Not thread-safe; all objects of a process share one network for each set of weights.
    """

    sample_rate_hz = MUSICNN_SAMPLE_RATE_HZ

    def __init__(self, name: str, config: MusicnnConfig, spectrogram: MusicnnSpectrogram) -> None:
        """Loads the network, once in a process, and downloads its weights if they are missing.

        Raises:
            UserError: TensorFlow is not installed, or the wheel or folder does not hold the published weights.
            RunFailedError: The weights are missing and cannot be downloaded.
        """
        self._spectrogram = spectrogram
        self._infer = load_network(config).compiled(_BATCH_PATCHES)
        self._output = MUSICNN_LAYERS[config.network].index(config.layer)
        shape = (spectrogram.num_patches, LAYER_SIZES[config.layer])
        self.spec = FeatureSpec(name=name, shape=shape, dtype=config.dtype)

    def embeddings(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (patches, values) float32."""
        patches = self._spectrogram.patches(segment)
        return np.concatenate([self._infer(patch[np.newaxis])[self._output] for patch in patches])

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the embeddings in the dtype in which they are stored."""
        return self.embeddings(segment).astype(self.spec.dtype)


def load_network(config: MusicnnConfig) -> MusicnnNetwork:
    """Returns the network with the weights of the settings, loaded and checked once in a process.

    Raises:
        UserError: TensorFlow is not installed, or the wheel or folder does not hold the published weights.
        RunFailedError: The weights are missing and cannot be downloaded.
    """
    with _networks.lock:
        if config.weights_path is None:
            fetch_musicnn_wheel(config.sources()["weights"])
        checkpoint = read_checkpoint(config)

        def load() -> MusicnnNetwork:
            network = MusicnnNetwork(checkpoint, network=config.network, variant=config.variant)
            check_network(network, config)
            return network

        # The content has the published hash.
        return _networks.get(checkpoint_folder(config), load)


@dataclass(frozen=True)
class _KnownTag:
    """A tag of a signal.

    Attributes:
        name: The name of the tag.
        index: Its index among the 50 tags of musicnn/configuration.py.
        lowest_rank: The lowest rank that is accepted; the published networks give at least this one.
    """

    name: str
    index: int
    lowest_rank: int


_SINE_TAGS = {"msd": _KnownTag("ambient", 28, 3), "mtt": _KnownTag("flute", 25, 1)}
_BEAT_TAGS = {"msd": _KnownTag("House", 48, 6), "mtt": _KnownTag("techno", 3, 3)}


def check_network(network: MusicnnNetwork, config: MusicnnConfig) -> None:
    """Checks the network with a sine and with the beat of a drum machine, 3 s each.

    The hash of the weights is right: this finds a library that computes something else from them.

    Raises:
        UserError: A tag of one of the signals has a lower rank than it has by the published network.
    """
    times_s = np.arange(_CHECK_NUM_SAMPLES) / MUSICNN_SAMPLE_RATE_HZ
    signals = {"sine": (np.sin(2 * np.pi * 440.0 * times_s), _SINE_TAGS), "beat": (_beat(times_s), _BEAT_TAGS)}
    spectrogram = MusicnnSpectrogram(config.kind, segment_num_samples=_CHECK_NUM_SAMPLES)
    infer = network.compiled(_BATCH_PATCHES)
    for name, (signal, tags) in signals.items():
        *_, scores = infer(spectrogram.patches(signal.astype(np.float32)))
        tag = tags[config.variant]
        # Not `1 + (scores > own).sum()`: with NaN scores the rank would be 1.
        rank = int((~(scores[0] < scores[0, tag.index])).sum())
        if rank > tag.lowest_rank:
            raise UserError(
                f"features.{config.kind}: for a {name} the tag {tag.name!r} has the rank {rank} of {scores.shape[1]}, "
                f"expected {tag.lowest_rank} or better: TensorFlow computes another network than the published one; "
                "install another version of it"
            )


def _beat(times_s: npt.NDArray[np.float64]) -> Array:
    """(samples,) → (samples,) float32: a bass drum on each beat and a hi-hat between two of them."""
    since_beat_s, since_hat_s = times_s % _BEAT_S, (times_s + _BEAT_S / 2) % _BEAT_S
    drum = np.sin(2 * np.pi * (50.0 * since_beat_s + 3.0 * -np.expm1(-since_beat_s / 0.03)))
    noise = np.random.default_rng(0).normal(0.0, 0.3, len(times_s))
    beat: npt.NDArray[np.float64] = 0.8 * drum * np.exp(-since_beat_s / 0.1) + noise * np.exp(-since_hat_s / 0.02)
    return beat.astype(np.float32)
