"""What users would write in place of `beamtune prepare`: log-mels of mp3s, at 16 kHz in segments of 3 s, to files.

PYTHON scripts/benchmarks/subjects/alternatives.py SUBJECT TABLE OUTPUT

It runs in environments that need not have beamtune. OUTPUT is a new folder. All write float32, and all use windows of
1,024 samples, hops of 512, and 128 bands.
"""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RATE_HZ, SEGMENT, WINDOW, HOP, BANDS = 16_000, 48_000, 1024, 512, 128


def librosa_script(paths: Sequence[str], output: Path) -> None:
    """`librosa.load` and `librosa.feature.melspectrogram`, one file after the other."""
    import numpy as np

    for number, path in enumerate(paths):
        np.save(output / f"{number}.npy", log_mels_by_librosa(path))


def log_mels_by_librosa(path: str) -> Any:
    """Returns (segments, bands, frames) float32."""
    import librosa
    import numpy as np

    samples, _ = librosa.load(path, sr=RATE_HZ)
    mels = [
        librosa.feature.melspectrogram(y=segment, sr=RATE_HZ, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS)
        for segment in split(samples)
    ]
    return np.stack([librosa.power_to_db(mel) for mel in mels])


def split(samples: Any) -> Any:
    """(samples,) → (segments, SEGMENT); the rest is dropped."""
    return samples[: len(samples) // SEGMENT * SEGMENT].reshape(-1, SEGMENT)


def torch_loader(paths: Sequence[str], output: Path) -> None:
    """A DataLoader: soundfile, soxr, `torch.stft`, and librosa's filters."""
    import librosa
    import soundfile
    import soxr
    import torch

    filters = torch.from_numpy(librosa.filters.mel(sr=RATE_HZ, n_fft=WINDOW, n_mels=BANDS))
    window = torch.hann_window(WINDOW)

    def log_mels(path: str) -> Any:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = torch.from_numpy(soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ))
        spectra = torch.stft(
            split(mono), WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True
        )
        return 10 * torch.log10((filters @ spectra.abs() ** 2).clamp(min=1e-10))

    save_batches(paths, output, log_mels)


def torchaudio_loader(paths: Sequence[str], output: Path) -> None:
    """A DataLoader: soundfile, and torchaudio's resampler and transforms."""
    import soundfile
    import torch
    import torchaudio

    log_mels = log_mels_by_torchaudio()

    def read(path: str) -> Any:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        return torchaudio.functional.resample(torch.from_numpy(samples.mean(axis=1)), rate_hz, RATE_HZ)

    save_batches(paths, output, lambda path: log_mels(read(path)))


def torchcodec_loader(paths: Sequence[str], output: Path) -> None:
    """A DataLoader: torchcodec, which also resamples and mixes down by FFmpeg, and torchaudio's transforms."""
    from torchcodec.decoders import AudioDecoder

    require_ffmpeg()
    log_mels = log_mels_by_torchaudio()

    def read(path: str) -> Any:
        return AudioDecoder(path, sample_rate=RATE_HZ, num_channels=1).get_all_samples().data[0]

    save_batches(paths, output, lambda path: log_mels(read(path)))


def log_mels_by_torchaudio() -> Callable[[Any], Any]:
    """Returns a function from (samples,) to (segments, bands, frames), both torch.float32."""
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(
        RATE_HZ, n_fft=WINDOW, hop_length=HOP, n_mels=BANDS, pad_mode="constant", norm="slaney", mel_scale="slaney"
    )
    to_db = torchaudio.transforms.AmplitudeToDB()
    return lambda samples: to_db(mel(split(samples)))


def require_ffmpeg() -> None:
    """Raises OSError if torchcodec does not find the libraries of FFmpeg: it would fail with a long text later."""
    import torchcodec

    if torchcodec.ffmpeg_major_version is None:
        raise OSError("torchcodec does not find FFmpeg's shared libraries (apt-get install ffmpeg)")


def save_batches(paths: Sequence[str], output: Path, log_mels: Callable[[str], Any]) -> None:
    """Saves the log-mels of each file, which two workers of a DataLoader compute."""
    import torch

    class Clips(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> Any:
            return log_mels(paths[index])

    loader = torch.utils.data.DataLoader(Clips(), batch_size=None, num_workers=2)
    for number, mels in enumerate(loader):
        torch.save(mels, output / f"{number}.pt")


def datasets_map(paths: Sequence[str], output: Path) -> None:
    """`datasets.Dataset.map` with two processes: an `Audio` feature, torchaudio's transforms, and Arrow files."""
    import datasets

    require_ffmpeg()
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"audio": list(paths)})
    table = table.cast_column("audio", datasets.Audio(sampling_rate=RATE_HZ, num_channels=1))
    log_mels = log_mels_by_torchaudio()

    def with_log_mels(row: Any) -> dict[str, Any]:
        return {"log_mel": log_mels(row["audio"].get_all_samples().data[0]).numpy()}

    table.map(with_log_mels, num_proc=2, remove_columns=["audio"]).save_to_disk(str(output / "arrow"))


def audioflux_script(paths: Sequence[str], output: Path) -> None:
    """audioFlux: its own decoder, resampler and mel spectrogram."""
    import audioflux
    import numpy as np

    transform = audioflux.BFT(
        num=BANDS,
        radix2_exp=WINDOW.bit_length() - 1,
        samplate=RATE_HZ,
        slide_length=HOP,
        scale_type=audioflux.type.SpectralFilterBankScaleType.MEL,
        data_type=audioflux.type.SpectralDataType.POWER,
    )
    for number, path in enumerate(paths):
        samples, _ = audioflux.read(path, samplate=RATE_HZ, is_mono=True)
        mels = [transform.bft(segment, result_type=1) for segment in split(samples)]
        np.save(output / f"{number}.npy", 10 * np.log10(np.maximum(np.stack(mels), 1e-10)))


def essentia_script(paths: Sequence[str], output: Path) -> None:
    """essentia: MonoLoader, and Spectrum and MelBands of each frame."""
    import essentia
    import essentia.standard as standard
    import numpy as np

    essentia.log.infoActive = False
    window, spectrum = standard.Windowing(type="hann", size=WINDOW), standard.Spectrum(size=WINDOW)
    bands = standard.MelBands(
        inputSize=WINDOW // 2 + 1, numberBands=BANDS, sampleRate=RATE_HZ, highFrequencyBound=RATE_HZ / 2
    )
    for number, path in enumerate(paths):
        samples = standard.MonoLoader(filename=path, sampleRate=RATE_HZ)()
        mels = [
            [
                bands(spectrum(window(frame)))
                for frame in standard.FrameGenerator(segment, frameSize=WINDOW, hopSize=HOP)
            ]
            for segment in split(samples)
        ]
        np.save(output / f"{number}.npy", 10 * np.log10(np.maximum(np.array(mels, dtype=np.float32), 1e-10)))


def tfio_pipeline(paths: Sequence[str], output: Path) -> None:
    """tf.data with two calls in parallel, tensorflow-io's resampler, and a file of TFRecords.

    soundfile decodes: `tfio.audio.decode_mp3` fails on mp3s that were cut out of longer ones (docs/tensorflow-io.md).
    """
    import numpy as np
    import soundfile
    import tensorflow as tf
    import tensorflow_io as tfio

    filters = tf.signal.linear_to_mel_weight_matrix(BANDS, WINDOW // 2 + 1, RATE_HZ, 0.0, RATE_HZ / 2)

    def read(path: bytes) -> tuple[Any, Any]:
        samples, rate_hz = soundfile.read(path.decode(), dtype="float32", always_2d=True)
        return samples.mean(axis=1), np.int64(rate_hz)

    def log_mels(path: Any) -> Any:
        mono, rate_hz = tf.numpy_function(read, [path], (tf.float32, tf.int64))
        mono = tfio.audio.resample(tf.ensure_shape(mono, [None]), rate_hz, RATE_HZ)
        segments = tf.signal.frame(mono, SEGMENT, SEGMENT)
        segments = tf.pad(segments, [[0, 0], [WINDOW // 2, WINDOW // 2]])
        power = tf.abs(tf.signal.stft(segments, WINDOW, HOP)) ** 2
        mels = 10 / tf.math.log(10.0) * tf.math.log(tf.maximum(power @ filters, 1e-10))
        return tf.io.serialize_tensor(mels)

    with tf.io.TFRecordWriter(str(output / "log_mel.tfrecord")) as writer:
        for record in tf.data.Dataset.from_tensor_slices(list(paths)).map(log_mels, num_parallel_calls=2).prefetch(2):
            writer.write(record.numpy())


SUBJECTS: Mapping[str, Callable[[Sequence[str], Path], None]] = {
    "librosa": librosa_script,
    "torch": torch_loader,
    "torchaudio": torchaudio_loader,
    "torchcodec": torchcodec_loader,
    "audioflux": audioflux_script,
    "essentia": essentia_script,
    "datasets": datasets_map,
    "tfio": tfio_pipeline,
}


def main() -> None:
    """Runs a subject on the files of a table, whose paths are relative to it."""
    subject, table, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with open(table, encoding="utf-8", newline="") as file:
        paths = [str(table.parent / row["path"]) for row in csv.DictReader(file)]
    output.mkdir()
    try:
        SUBJECTS[subject](paths, output)
    except (ImportError, OSError) as error:  # The cause names the library that is missing.
        sys.exit(str(error.__cause__ or error))


if __name__ == "__main__":
    main()
