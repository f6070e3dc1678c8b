"""Tables of the benchmarks of audio, from the content of their JSON files."""

from collections.abc import Mapping
from typing import Any

from figures.markdown import machine_line, markdown, short, target_table


def prepare_table(content: Mapping[str, Any]) -> str:
    """Returns the costs and the targets of `scripts/bench prepare`."""
    few = content["sizes"]["clips"]
    many = few * content["sizes"]["times"]
    rows = [
        [
            name,
            f"{cost['cpu_ms_per_min']:.1f}",
            f"{cost['wall_ms_per_min']:.1f}",
            f"{cost['startup_cpu_s']:.1f}",
            *(f"{peak_mb:.0f}" for peak_mb in cost["peak_mb"]),
        ]
        for name, cost in content["steady"].items()
    ]
    titles = ["", "CPU, ms/min", "wall, ms/min", "start-up, CPU s", f"MB at {few}", f"MB at {many}"]
    return f"{markdown(titles, rows)}\n{target_table(content['targets'])}{machine_line(content)}"


def prepare_parts_table(content: Mapping[str, Any]) -> str:
    """Returns the time of each part of `scripts/bench prepare_parts`, and of decoding alone."""
    decode_ms, parts = content["decode_ms"], content["parts_ms"]
    times_ms = {
        **parts,
        "all": sum(parts.values()),
        "bare decoding of the same files": decode_ms,
        "what libraries alone do: decoding, soxr, Fourier transforms, SHA-256": content["libraries_ms"],
    }
    rows = [[name, f"{time_ms:.2f}", f"{time_ms / decode_ms:.3f}"] for name, time_ms in times_ms.items()]
    return markdown(["part", "ms/min", "/ bare decoding"], rows) + machine_line(content)


def runners_table(content: Mapping[str, Any]) -> str:
    """Returns the lowest costs of kinds of workers, of `scripts/bench runners`."""
    rows = []
    for name, costs in content["runners"].items():
        wall_s, cpu_s, peak_mb = (min(cost[key] for cost in costs) for key in ("wall_s", "cpu_s", "peak_mb"))
        rows.append([name, f"{wall_s:.1f}", f"{cpu_s:.1f}", f"{peak_mb:.0f}"])
    return markdown(["`runner`", "wall, s", "CPU, s", "peak MB of a process"], rows) + machine_line(content)


def decoding_table(content: Mapping[str, Any]) -> str:
    """Returns the cost of decoding sound files, of `scripts/bench decoding`, and how much the decoders differ."""
    rows = [[name, f"{cost_ms:.2f}"] for name, cost_ms in content["cpu_ms_per_min"].items()]
    return (
        f"{markdown(['', 'CPU, ms per minute of audio'], rows)}\n"
        f"- Of {content['files']} files, FFmpeg decodes {content['other_lengths']} to another number of samples than "
        f"libsndfile. The largest difference of a sample after the first {content['skipped_samples']}: "
        f"{content['largest_difference']:.0e}.\n{machine_line(content)}"
    )


def damaged_table(content: Mapping[str, Any]) -> str:
    """Returns how much of damaged files is lost, of `scripts/bench decoding`."""
    rows = [
        [name, f"{lost['over_1_s']} of {lost['positions']}", str(lost["over_0.1_s"]), f"{lost['most_s']:.2f} s"]
        for name, lost in content["damaged"].items()
    ]
    return markdown(["decoder", "loses over 1 s", "over 0.1 s", "at most"], rows) + machine_line(content)


def copies_table(content: Mapping[str, Any]) -> str:
    """Returns how many degraded copies are found, of `scripts/bench duplicates`, and what is found among the files."""
    rows = [
        [
            name,
            str(copy["found"]),
            "" if copy["median_bit_errors"] is None else f"{copy['median_bit_errors']:.3f}",
            "" if copy["most_bit_errors"] is None else f"{copy['most_bit_errors']:.3f}",
            str(copy["false_pairs"]),
        ]
        for name, copy in content["copies"].items()
    ]
    titles = ["copy", f"found of {content['files']}", "median bit errors", "largest", "false pairs"]
    originals = content["originals"]
    nearest = originals["least_bit_errors"]
    return (
        f"{markdown(titles, rows)}\n"
        f"- All copies: recall {content['recall']:.3f}, precision {content['precision']:.3f}.\n"
        f"- Among the files themselves: {originals['same_pairs']} pairs of one artist and title, "
        f"{originals['false_pairs']} false pairs. Different recordings have {nearest:.3f} bit errors or more at any "
        f"offset.\n"
        f"- The fingerprint of a minute of audio takes {content['fingerprint_ms_per_min']:.1f} ms of CPU.\n"
        f"{machine_line(content)}"
    )


def random_table(content: Mapping[str, Any]) -> str:
    """Returns the cost of comparing fingerprints of random bits, of `scripts/bench duplicates`."""
    rows = [
        [
            f"{cost['fingerprints']:,}",
            str(cost["pairs"]),
            f"{short(cost['cpu_s'])} s",
            f"{short(cost['wall_s'])} s",
            f"{cost['peak_mib']:.0f} MiB",
            f"{cost['temporary_gb']:.1f} GB",
        ]
        for cost in content["random"]
    ]
    titles = ["fingerprints", "pairs", "CPU", "wall", "peak memory", "temporary files"]
    return markdown(titles, rows) + machine_line(content)
