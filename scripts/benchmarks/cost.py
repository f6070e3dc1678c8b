"""The CPU time of each input of a classifier, and the picture of accuracy against it in docs/results.md.

    scripts/bench cost [MUSIC]        # CPU seconds per minute of audio, of decoding and of each feature
    scripts/bench cost --draw         # docs/images/cost.png, from docs/images/cost.json

MUSIC is a folder of mp3 files. All inputs are measured in turn, file by file, in one process on one thread; the figure
is the lowest of the rounds, so that other load of the machine counts little. Missing weights are fetched.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from beam_pipelines.features.frontend import FrontEnd
    from beam_pipelines.records.schema import FeatureSpec

REPOSITORY = Path(__file__).resolve().parents[2]
REAL_MUSIC = REPOSITORY.parent / "shared" / "data" / "magnatune4"
FIGURES = REPOSITORY / "docs" / "images" / "cost.json"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_TICKS_S = (0.05, 0.1, 0.2, 0.5)
# The colour of each kind of input.
_COLORS = {"computed": "#4477AA", "pretrained": "#EE6677"}


def main() -> None:
    """Measures, or draws."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", nargs="?", default=str(REAL_MUSIC), help="mp3 files, in folders below it")
    parser.add_argument("--files", type=int, default=4, help="files to measure on")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over the files")
    parser.add_argument("--yamnet-weights", help="a local copy of YAMNet's weights")
    parser.add_argument("--draw", action="store_true", help="draw the picture instead")
    arguments = parser.parse_args()
    if arguments.draw:
        FIGURES.with_suffix(".png").write_bytes(picture(json.loads(FIGURES.read_text(encoding="utf-8"))))
        return
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # read when numpy and TensorFlow are imported
    paths = sorted(Path(arguments.music).rglob("*.mp3"))
    chosen = paths[:: max(1, len(paths) // arguments.files)][: arguments.files]
    costs = measure(chosen, rounds=arguments.rounds, yamnet_weights=arguments.yamnet_weights)
    print("| input | CPU seconds per minute of audio |\n|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost:.3f} |")


def measure(paths: Sequence[Path], *, rounds: int, yamnet_weights: str | None) -> dict[str, float]:
    """Returns the CPU seconds of each input for a minute of audio, with decoding and resampling.

    Of spectrograms, also those of the input and the convolutional network on it together.
    """
    front_ends = make_front_ends(yamnet_weights)
    networks = {name: make_network(name, front_ends[name].specs[0]) for name in ("log_mel", "mfcc")}
    costs: dict[str, list[float]] = {}
    for round_number in range(rounds + 1):
        totals: Counter[str] = Counter()
        for path in paths:
            for name, front_end in front_ends.items():
                totals.update(cost_of_file(path, name, front_end=front_end, network=networks.get(name)))
        if round_number:  # the first one compiles, and fills caches
            for key, total in totals.items():
                costs.setdefault(key, []).append(total / len(paths))
    return {name: min(each) for name, each in costs.items()}


def make_front_ends(yamnet_weights: str | None) -> "dict[str, FrontEnd]":
    """Returns the front end of each input."""
    from beam_pipelines.audio.config import AudioConfig, SegmentConfig
    from beam_pipelines.features import config as features
    from beam_pipelines.features.frontend import FrontEnd

    yamnet = features.YamnetConfig() if yamnet_weights is None else features.YamnetConfig(weights_path=yamnet_weights)
    musicnn = features.MusicnnConfig()
    inputs: Mapping[str, Mapping[str, features.FeatureConfig]] = {
        "log_mel": {"log_mel": features.LogMelConfig()},
        "mfcc": {"mfcc": features.MfccConfig()},
        "spectral_stats": {"spectral_stats": features.SpectralStatsConfig()},
        "yamnet": {"yamnet": yamnet},
        "musicnn": {"musicnn": musicnn},
        "musicnn, vgg": {"musicnn": features.MusicnnConfig(network="vgg", layer="pool5")},
        "musicnn + yamnet": {"musicnn": musicnn, "yamnet": yamnet},
    }
    front_ends = {
        name: FrontEnd(audio=AudioConfig(), segment=SegmentConfig(), features=each) for name, each in inputs.items()
    }
    long = SegmentConfig(duration_s=10.0, hop_s=5.0)
    front_ends["mfcc, segments of 10 s"] = FrontEnd(audio=AudioConfig(), segment=long, features=inputs["mfcc"])
    return front_ends


def make_network(name: str, spec: "FeatureSpec") -> Any:
    """Returns the convolutional network on a spectrogram, untrained, which takes as long as a trained one."""
    from beam_pipelines.records.schema import BandStats
    from trainer.models.architectures.cnn2d import Cnn2dConfig
    from trainer.models.registry import build_model

    bands = spec.shape[-1]
    stats = BandStats(num_frames=1, mean=(0.0,) * bands, std=(1.0,) * bands)
    return build_model(Cnn2dConfig(feature=name), specs={name: spec}, stats={name: stats}, num_classes=4)


def cost_of_file(path: Path, name: str, *, front_end: "FrontEnd", network: Any) -> dict[str, float]:
    """Returns the CPU seconds for a minute of a file: of an input, and of a network on it if there is one."""
    import numpy as np

    started_s = time.process_time()
    with path.open("rb") as source:
        clip = front_end.process(source)
    cost_s = time.process_time() - started_s
    found = {name: cost_s}
    if network is not None:
        batch = np.stack([segment.features[name] for segment in clip.segments])
        started_s = time.process_time()
        network.predict_on_batch({name: batch})
        found[f"{name}, cnn2d"] = cost_s + time.process_time() - started_s
    return {key: 60 * value / clip.audio.decoded_s for key, value in found.items()}


def picture(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns the PNG of the rows of `docs/images/cost.json`: accuracy of tracks ± standard deviation, against cost."""
    from trainer.common.drawing import draw

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        for number, row in enumerate(rows, start=1):
            accuracy, cost, color = row["track_accuracy"], row["cpu_s_per_min"], _COLORS[row["kind"]]
            axes.errorbar([cost], [accuracy], yerr=[row["sd"]], color=color, elinewidth=0.6, capsize=2)
            axes.plot([cost], [accuracy], "o", color=color, label=f"{number}  {row['model']} on {row['input']}")
            # On both sides in turn, because points of one cost are one above the other.
            num_before = sum(other["cpu_s_per_min"] == cost for other in rows[: number - 1])
            shift, side = (-6, "right") if num_before % 2 else (6, "left")
            place = (cost, accuracy)
            axes.annotate(str(number), place, (shift, 0), textcoords="offset points", ha=side, va="center")
        axes.set_xscale("log")
        axes.set_xticks(_TICKS_S, [f"{tick:g}" for tick in _TICKS_S])
        axes.minorticks_off()
        axes.set_xlim(_TICKS_S[0] * 0.8, _TICKS_S[-1] * 1.2)
        axes.set_xlabel("CPU seconds per minute of audio, one core")
        axes.set_ylabel("accuracy of tracks ± standard deviation")
        axes.set_title("162 tracks of Magnatune, four genres, artists apart")
        figure.legend(loc="outside right upper")

    return draw(paint, width_in=8.5, height_in=4.2)


if __name__ == "__main__":
    main()
