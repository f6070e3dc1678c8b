"""The tables that benchmarks make of their figures, the parts of `prepare`, and what is recorded of a run."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import soundfile
from benchmark_run import BENCHMARKS, RUN, RUN_LINE


def test_prepare(load: Any) -> None:
    steady = {"cpu_ms_per_min": 34.56, "wall_ms_per_min": 17.0, "startup_cpu_s": 1.25, "peak_mb": [45.4, 1020.6]}
    content = {
        **RUN,
        "sizes": {"clips": 160, "times": 3},
        "steady": {"`prepare`": steady},
        "targets": [
            {"name": "CPU: `prepare` / bare decode", "value": 1.634, "bound": "≤ 1.3"},
            {"name": "peak memory, MB", "value": 1334.4, "bound": ""},
        ],
    }
    assert (
        load("figures.audio_tables").prepare_table(content)
        == (
            "|  | CPU, ms/min | wall, ms/min | start-up, CPU s | MB at 160 | MB at 480 |\n"
            "|---|---|---|---|---|---|\n"
            "| `prepare` | 34.6 | 17.0 | 1.2 | 45 | 1021 |\n"
            "\n"
            "|  | measured | target |\n"
            "|---|---|---|\n"
            "| CPU: `prepare` / bare decode | 1.63 | ≤ 1.3 |\n"
            "| peak memory, MB | 1,334 |  |\n"
        )
        + RUN_LINE
    )


def test_runners(load: Any) -> None:
    costs = [
        {"cpu_s": 14.0, "wall_s": 8.74, "peak_mb": 281.0},
        {"cpu_s": 11.66, "wall_s": 9.9, "peak_mb": 270.4},
    ]
    assert load("figures.audio_tables").runners_table({**RUN, "runners": {"threads": costs}}) == (
        "| `runner` | wall, s | CPU, s | peak MB of a process |\n"
        "|---|---|---|---|\n"
        "| threads | 8.7 | 11.7 | 270 |\n" + RUN_LINE
    )


def test_prepare_parts(load: Any) -> None:
    content = {
        **RUN,
        "decode_ms": 40.0,
        "parts_ms": {"decoding": 44.0, "SHA-256": 1.0, "the rest": 0.124},
        "libraries_ms": 45.0,
    }
    assert (
        load("figures.audio_tables").prepare_parts_table(content)
        == (
            "| part | ms/min | / bare decoding |\n"
            "|---|---|---|\n"
            "| decoding | 44.00 | 1.100 |\n"
            "| SHA-256 | 1.00 | 0.025 |\n"
            "| the rest | 0.12 | 0.003 |\n"
            "| all | 45.12 | 1.128 |\n"
            "| bare decoding of the same files | 40.00 | 1.000 |\n"
            "| what libraries alone do: decoding, soxr, Fourier transforms, SHA-256 | 45.00 | 1.125 |\n"
        )
        + RUN_LINE
    )


def test_decoding(load: Any) -> None:
    content = {
        **RUN,
        "files": 162,
        "cpu_ms_per_min": {"libsndfile": 34.567},
        "other_lengths": 1,
        "skipped_samples": 3456,
        "largest_difference": 6.2e-6,
        "damaged": {"FFmpeg": {"positions": 140, "over_1_s": 2, "over_0.1_s": 35, "most_s": 1.391}},
    }
    tables = load("figures.audio_tables")
    assert (
        tables.decoding_table(content)
        == (
            "|  | CPU, ms per minute of audio |\n"
            "|---|---|\n"
            "| libsndfile | 34.57 |\n"
            "\n"
            "- Of 162 files, FFmpeg decodes 1 to another number of samples than libsndfile. The largest difference "
            "of a sample after the first 3456: 6e-06.\n"
        )
        + RUN_LINE
    )
    assert (
        tables.damaged_table(content)
        == (
            "| decoder | loses over 1 s | over 0.1 s | at most |\n"
            "|---|---|---|---|\n"
            "| FFmpeg | 2 of 140 | 35 | 1.39 s |\n"
        )
        + RUN_LINE
    )


def test_duplicates(load: Any) -> None:
    content = {
        **RUN,
        "files": 10,
        "copies": {
            "mp3": {"found": 9, "median_bit_errors": 0.0123, "most_bit_errors": 0.25, "false_pairs": 1},
            "noise": {"found": 0, "median_bit_errors": None, "most_bit_errors": None, "false_pairs": 0},
        },
        "recall": 0.45,
        "precision": 0.9,
        "originals": {"same_pairs": 4, "false_pairs": 2, "least_bit_errors": 0.4128},
        "fingerprint_ms_per_min": 2.5,
        "random": [
            {
                "fingerprints": 100_000,
                "pairs": 3,
                "cpu_s": 123.4,
                "wall_s": 61.728,
                "peak_mib": 479.6,
                "temporary_gb": 0.21,
            }
        ],
    }
    tables = load("figures.audio_tables")
    assert (
        tables.copies_table(content)
        == (
            "| copy | found of 10 | median bit errors | largest | false pairs |\n"
            "|---|---|---|---|---|\n"
            "| mp3 | 9 | 0.012 | 0.250 | 1 |\n"
            "| noise | 0 |  |  | 0 |\n"
            "\n"
            "- All copies: recall 0.450, precision 0.900.\n"
            "- Among the files themselves: 4 pairs of one artist and title, 2 false pairs. Different recordings have "
            "0.413 bit errors or more at any offset.\n"
            "- The fingerprint of a minute of audio takes 2.5 ms of CPU.\n"
        )
        + RUN_LINE
    )
    assert (
        tables.random_table(content)
        == (
            "| fingerprints | pairs | CPU | wall | peak memory | temporary files |\n"
            "|---|---|---|---|---|---|\n"
            "| 100,000 | 3 | 123 s | 61.73 s | 480 MiB | 0.2 GB |\n"
        )
        + RUN_LINE
    )


def test_scale(load: Any) -> None:
    tables = load("figures.model_tables")
    plan = {**RUN, "seconds": {"list tracks": 9.876, "all": 123.4}, "peak_mb": 1334.4}
    assert (
        tables.plan_table(plan)
        == (
            "| planning 1,000,000 tracks | s |\n"
            "|---|---|\n"
            "| list tracks | 9.88 |\n"
            "| all | 123 |\n"
            "\n- Peak memory: 1,334 MB.\n"
        )
        + RUN_LINE
    )
    explore = {"tracks": 8000, "segments": 80_000, "data_gb": 1.941, "page_mb": 3.4, "wall_s": 16.04, "peak_mb": 861.2}
    assert (
        tables.explore_table({**RUN, **explore})
        == (
            "| tracks | segments | data, GB | page, MB | s | peak MB |\n"
            "|---|---|---|---|---|---|\n"
            "| 8,000 | 80,000 | 1.94 | 3.40 | 16.04 | 861 |\n"
        )
        + RUN_LINE
    )


def test_the_fastest_reader_is_the_first(load: Any) -> None:
    readers = {
        "beamtune": {"order": "a permutation", "rates": [19_000.4, 57_550.4]},
        "grain": {"order": "the same", "rates": [60_000.0, 20_000.0]},
    }
    assert (
        load("figures.model_tables").readers_table({**RUN, "readers": readers})
        == (
            "| reader | order | segments/s |\n"
            "|---|---|---|\n"
            "| grain | the same | 60,000 |\n"
            "| beamtune | a permutation | 57,550 |\n"
        )
        + RUN_LINE
    )


def test_predict(load: Any) -> None:
    content = {
        **RUN,
        "loop": {"files": 100, "wall_s": 20.0, "cpu_s": 28.0, "peak_mib": 809.4},
        "predict": {"files": 1000, "wall_s": 40.0, "cpu_s": 60.0, "peak_mib": 729.0},
        "memory": [{"files": 200, "peak_mib": 700.0}, {"files": 2000, "peak_mib": 735.0}],
        "same_genres": 99,
        "compared_genres": 100,
    }
    assert (
        load("figures.model_tables").predict_table(content)
        == (
            "|  | files | files/s | CPU s per file | peak memory, MiB |\n"
            "|---|---|---|---|---|\n"
            "| the loop | 100 | 5.0 | 0.280 | 809 |\n"
            "| `beamtune predict` | 1,000 | 25.0 | 0.060 | 729 |\n"
            "\n"
            "- `beamtune predict` predicts 5.0 times as many files per second, and the same top genre for 99 of 100.\n"
            "- Peak memory of 2,000 files / 200 files: 1.05.\n"
        )
        + RUN_LINE
    )


def test_train(load: Any) -> None:
    rates = [
        {"name": "`cache=true`", "value": 375_000.4, "bound": "≥ 20,000"},
        {"name": "the loop / `fit`", "value": 1.048, "bound": "≥ 1.0"},
    ]
    assert (
        load("figures.model_tables").train_table({**RUN, "rates": rates})
        == (
            "|  | measured | target |\n"
            "|---|---|---|\n"
            "| `cache=true` | 375,000 | ≥ 20,000 |\n"
            "| the loop / `fit` | 1.05 | ≥ 1.0 |\n"
        )
        + RUN_LINE
    )


def test_a_run_is_recorded_without_folders(load: Any) -> None:
    arguments = Namespace(music=Path("/home/someone/music"), rounds=3, quick=False, part=None, json=Path("a.json"))
    found = load("figures.record").describe_run(arguments, ["numpy", "no-such-package"])
    assert found["arguments"] == {"music": "music", "rounds": 3, "quick": False}
    assert set(found["versions"]) == {"python", "numpy"}
    assert found["versions"]["numpy"] == np.__version__


def test_the_time_of_a_part_is_without_the_parts_that_it_calls(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load("prepare_parts")
    now_s = 0.0
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now_s)

    def work(duration_s: float) -> None:
        nonlocal now_s
        now_s += duration_s

    times = bench.SelfTimes()
    inner = times.timed(lambda: work(2.0), "inner")

    def fail() -> None:
        inner()
        work(4.0)
        raise ValueError

    def outer() -> None:
        work(1.0)
        inner()
        with pytest.raises(ValueError):
            times.timed(fail, "failing")()
        work(0.5)

    times.timed(outer, "outer")()
    assert times.seconds == {"inner": 4.0, "failing": 4.0, "outer": 1.5}


def test_each_part_of_prepare_is_timed(load: Any, tmp_path: Path) -> None:
    bench = load("prepare_parts")
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.mp3") for number in range(2)]
    for path in paths:
        soundfile.write(path, rng.normal(0.0, 0.1, (7 * 44_100, 2)), 44_100)
    rfft = scipy.fft.rfft
    found = bench.measure(paths, rounds=1)
    assert found["minutes"] == pytest.approx(2 * 7 / 60, rel=0.02)
    assert len(found["parts_ms"]) == 13
    assert all(part_ms > 0 for part_ms in found["parts_ms"].values()), found["parts_ms"]
    libraries = (bench.DECODING, bench.SOXR, bench.FOURIER, bench.SHA_256)
    assert found["libraries_ms"] == pytest.approx(sum(found["parts_ms"][part] for part in libraries))
    assert scipy.fft.rfft is rfft, "the timers are gone"


def test_bare_decoding_in_several_processes_decodes_each_file_once(
    load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = load("prepare")
    paths = []
    for number in range(1, 4):
        paths.append(str(tmp_path / f"{number}.wav"))
        soundfile.write(paths[-1], np.zeros(number * 8_000), 16_000)
    bench.decode(paths, tmp_path)
    bench.decode_at_once(paths, tmp_path)
    assert capsys.readouterr().out == "3.0\n3.0\n"


def test_a_missing_folder_of_the_figures_is_refused_before_anything_is_measured(load: Any, tmp_path: Path) -> None:
    json_file = load("figures.record").json_file
    assert json_file(str(tmp_path / "figures.json")) == tmp_path / "figures.json"
    with pytest.raises(ArgumentTypeError, match=f"^{tmp_path}/no/f.json: there is no folder {tmp_path}/no$"):
        json_file(f"{tmp_path}/no/f.json")
    takes_json = [path for path in BENCHMARKS.glob("*.py") if 'add_argument("--json"' in path.read_text("utf-8")]
    assert len(takes_json) == 13
    assert all('"--json", type=json_file' in path.read_text("utf-8") for path in takes_json)
