"""What `beamtune convert` prints when it is done."""

from typing import TextIO

from beam_pipelines.convert.reports import Report, count_rejects
from beam_pipelines.convert.work_dir import CONVERTED_FILE, REJECTS_FILE


def print_summary(report: Report, *, num_kept: int, output_dir: str, stream: TextIO) -> None:
    """Prints how many files were converted now and earlier, and how many were rejected for what reason."""
    num_converted = len(report.converted) - num_kept
    lines = [f"{num_converted} files converted, {num_kept} kept from earlier: {report.audio_s:.0f} s of audio"]
    num_cut = sum(file.is_cut for file in report.converted)
    if num_cut:
        lines.append(
            f"{num_cut} files cut, at max_duration_s or where a WAV file is full: see {output_dir}/{CONVERTED_FILE}"
        )
    num_partial = sum(file.is_truncated and not file.is_cut for file in report.converted)
    if num_partial:
        lines.append(
            f"{num_partial} files decoded in part, because they are damaged or cut short: see "
            f"{output_dir}/{CONVERTED_FILE}"
        )
    rejects = count_rejects(report)
    if rejects:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejects.items())
        lines.append(f"{len(report.rejects)} files rejected ({reasons}): see {output_dir}/{REJECTS_FILE}")
    lines.append(f"converted: {output_dir}")
    print("\n".join(lines), file=stream)
