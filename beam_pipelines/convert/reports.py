"""What became of each file: the lines of `converted.jsonl` and `rejects.jsonl`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class ConvertedFile:
    """A file that was converted: one line of `converted.jsonl`.

    Attributes:
        source: Its path in the source folder.
        output: The path of what was made of it, in the output directory.
        source_bytes: The size of the source when it was converted.
        duration_s: The length of the output.
        sample_rate_hz: The rate of the output.
        channels: The channels of the output.
        is_cut: Whether the source goes on after what was converted.
        is_truncated: Whether it goes on, or is damaged or cut short, so that less was decoded than it should hold.
        decoder: What decoded the source, "libsndfile" or "ffmpeg". This and the following are None of files that were
            converted before they were recorded.
        decoded_s: Seconds of audio decoded.
        expected_s: Seconds that there should be by the headers of the source; None where they do not say.
    """

    source: str
    output: str
    source_bytes: int
    duration_s: float
    sample_rate_hz: int
    channels: int
    is_cut: bool
    is_truncated: bool = False
    decoder: str | None = None
    decoded_s: float | None = None
    expected_s: float | None = None


@dataclass(frozen=True)
class RejectedFile:
    """A file that was not converted, and why: one line of `rejects.jsonl`.

    Attributes:
        path: Its path in the source folder.
        stage: Where it failed: name, open, decode, mix, resample or encode.
        reason: A short name to count by.
        message: What was found, for a person.
    """

    path: str
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Report:
    """What became of some files."""

    converted: Sequence[ConvertedFile] = field(default_factory=list)
    rejects: Sequence[RejectedFile] = field(default_factory=list)

    @property
    def num_files(self) -> int:
        return len(self.converted) + len(self.rejects)

    @property
    def audio_s(self) -> float:
        """Seconds of audio written."""
        return sum(file.duration_s for file in self.converted)

    @classmethod
    def merge(cls, reports: Iterable["Report"]) -> "Report":
        """Returns one report of the files of all, ordered by path. Of two about a file, the later one counts."""
        reports = list(reports)
        converted = {file.source: file for report in reports for file in report.converted}
        rejects = {file.path: file for report in reports for file in report.rejects}
        return cls(
            converted=[converted[path] for path in sorted(converted)],
            rejects=[rejects[path] for path in sorted(rejects)],
        )

    def to_json(self) -> str:
        return json_line(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Reads what `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            converted=[ConvertedFile(**file) for file in content["converted"]],
            rejects=[RejectedFile(**file) for file in content["rejects"]],
        )


def count_rejects(report: Report) -> Mapping[str, int]:
    """Returns how many files were rejected for each reason, the most frequent first."""
    return dict(Counter(file.reason for file in report.rejects).most_common())


def converted_to_json_lines(files: Sequence[ConvertedFile]) -> str:
    """Returns the text of `converted.jsonl`."""
    return "".join(json_line(asdict(file)) for file in files)


def converted_from_json_lines(text: str) -> list[ConvertedFile]:
    """Reads what `converted_to_json_lines` wrote."""
    return [ConvertedFile(**json.loads(line)) for line in text.splitlines()]


def rejects_to_json_lines(files: Sequence[RejectedFile]) -> str:
    """Returns the text of `rejects.jsonl`."""
    return "".join(json_line(asdict(file)) for file in files)


def json_line(content: Mapping[str, Any]) -> str:
    """Returns JSON on a line of its own, as readable as file names allow."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is no UTF-8
        text = json.dumps(content)
    return f"{text}\n"
