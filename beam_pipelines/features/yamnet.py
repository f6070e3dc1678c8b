"""Embeddings by YAMNet (Plakal and Ellis, Google): a network trained on 521 classes of sound of AudioSet.

The front end is `YamnetSpectrogram`, and the network is in `yamnet_network.py`.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.yamnet_weights import fetch_yamnet_weights
from beam_pipelines.features.config import YAMNET_SAMPLE_RATE_HZ, YamnetConfig
from beam_pipelines.features.patch_network import LoadedNetworks
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from beam_pipelines.features.yamnet_network import EMBEDDING_SIZE, YamnetNetwork
from beam_pipelines.records.schema import FeatureSpec

_CHECK_DURATION_S = 3.0
# Classes in the order of yamnet_class_map.csv of the original.
_CLASSES = {"Silence": 494, "Sine wave": 495, "White noise": 514}

_networks: LoadedNetworks[YamnetNetwork] = LoadedNetworks()


class Yamnet:
    """The embeddings of a segment, (samples,) → (patches, 1024): one for every 0.96 s, 0.48 s apart.

    Not thread-safe; all objects of a process share one network.
    """

    sample_rate_hz = YAMNET_SAMPLE_RATE_HZ

    def __init__(self, name: str, config: YamnetConfig, *, segment_duration_s: float) -> None:
        """Loads the network, once in a process, and downloads its weights if they are missing.

        Raises:
            UserError: TensorFlow is not installed, or the file does not hold YAMNet's weights.
            RunFailedError: The weights are missing and cannot be downloaded.
        """
        self._spectrogram = YamnetSpectrogram(segment_duration_s=segment_duration_s)
        self._infer = load_network(config).compiled(self._spectrogram.num_patches)
        shape = (self._spectrogram.num_patches, EMBEDDING_SIZE)
        self.spec = FeatureSpec(name=name, shape=shape, dtype=config.dtype)

    def embeddings(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(samples,) float32 at 16 kHz → (patches, 1024) float32, not negative."""
        embeddings, _ = self._infer(self._spectrogram.patches(segment))
        return embeddings

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the embeddings in the dtype in which they are stored."""
        return self.embeddings(segment).astype(self.spec.dtype)


def load_network(config: YamnetConfig) -> YamnetNetwork:
    """Returns the network with the weights of the settings, loaded and checked once in a process.

    Raises:
        UserError: TensorFlow is not installed, or the file does not hold YAMNet's weights.
        RunFailedError: The weights are missing and cannot be downloaded.
    """
    path = config.sources()["weights"]
    with _networks.lock:
        if config.weights_path is None:
            fetch_yamnet_weights(path)
        content = _read(path)
        key = (path, hashlib.sha256(content).hexdigest())
        return _networks.get(key, lambda: _load(content, path=path))


def _load(content: bytes, *, path: str) -> YamnetNetwork:
    network = YamnetNetwork(content, path=path)
    check_network(network, path=path)
    return network


def check_network(network: YamnetNetwork, *, path: str) -> None:
    """Checks the network with the signals of the original's unit test: silence, a sine and noise of 3 s each.

    Raises:
        UserError: It classifies one of them wrongly: the weights have the right shapes and other values.
    """
    num_samples = round(_CHECK_DURATION_S * YAMNET_SAMPLE_RATE_HZ)
    times_s = np.arange(num_samples) / YAMNET_SAMPLE_RATE_HZ
    signals = {
        "Silence": (np.zeros(num_samples), 1),
        "Sine wave": (np.sin(2 * np.pi * 440.0 * times_s), 10),
        "White noise": (np.random.default_rng(0).uniform(-1.0, 1.0, num_samples), 10),
    }
    spectrogram = YamnetSpectrogram(segment_duration_s=_CHECK_DURATION_S)
    infer = network.compiled(spectrogram.num_patches)
    for name, (signal, lowest_rank) in signals.items():
        _, scores = infer(spectrogram.patches(signal.astype(np.float32)))
        mean_scores = scores.mean(axis=0)
        # Not `1 + (mean_scores > own).sum()`: with NaN scores the rank would be 1.
        rank = int((~(mean_scores < mean_scores[_CLASSES[name]])).sum())
        if rank > lowest_rank:
            raise UserError(
                f"{path}: these are not YAMNet's weights: of {len(mean_scores)} classes, {name!r} has the rank {rank} "
                f"for a signal of that class, expected {lowest_rank} or better; "
                "expected yamnet.h5 as Google publishes it"
            )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"features.yamnet.weights_path={path} cannot be read: {error.strerror}") from error
