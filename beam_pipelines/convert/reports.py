"""The result for each file: the lines of `converted.jsonl` and `rejects.jsonl`."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from beam_pipelines.runners.work_progress import WorkProgress


@dataclass(frozen=True)
class ConvertedFile:
    """A file that was converted: one line of `converted.jsonl`.

    Attributes:
        source: Its path in the source folder.
        output: The path of the converted file in the output directory.
        source_bytes: The size of the source when it was converted.
        duration_s: The length of the output.
        sample_rate_hz: The rate of the output.
        channels: The channels of the output.
        is_cut: Whether the source is longer than the output.
        is_truncated: Whether less was decoded than the source has or should have: it is longer than the output, damaged
            or truncated.
        decoder: The decoder of the source, "libsndfile" or "ffmpeg". None in records of earlier versions, as the
            following.
        decoded_s: Seconds of decoded audio.
        expected_s: Seconds of audio that the source should have according to its headers; None if they do not say.
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
        stage: The stage that failed: name, open, decode, mix, resample or encode.
        reason: A short name, the same for all rejects of a kind.
        message: The problem in a sentence.
    """

    path: str
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Report:
    """The results for some files."""

    converted: Sequence[ConvertedFile] = field(default_factory=list)
    rejects: Sequence[RejectedFile] = field(default_factory=list)

    @property
    def num_files(self) -> int:
        return len(self.converted) + len(self.rejects)

    @property
    def audio_s(self) -> float:
        """Seconds of audio written."""
        return sum(file.duration_s for file in self.converted)

    @property
    def progress(self) -> WorkProgress:
        return WorkProgress(num_done=self.num_files, num_rejects=len(self.rejects), audio_s=self.audio_s)

    @classmethod
    def merge(cls, reports: Iterable["Report"]) -> "Report":
        """Returns one report of all files, ordered by path. The last report about a file counts."""
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
        """Parses the text of `to_json`."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            converted=[ConvertedFile(**file) for file in content["converted"]],
            rejects=[RejectedFile(**file) for file in content["rejects"]],
        )


def count_rejects(report: Report) -> Mapping[str, int]:
    """Returns the number of rejected files by reason, the most frequent first."""
    return dict(Counter(file.reason for file in report.rejects).most_common())


def converted_to_json_lines(files: Sequence[ConvertedFile]) -> str:
    """Returns the text of `converted.jsonl`."""
    return "".join(json_line(asdict(file)) for file in files)


def converted_from_json_lines(text: str) -> list[ConvertedFile]:
    """Parses the text of `converted_to_json_lines`."""
    # Not splitlines(): a name may contain other line separators of Unicode, which JSON does not escape.
    return [ConvertedFile(**json.loads(line)) for line in text.split("\n") if line]


def rejects_to_json_lines(files: Sequence[RejectedFile]) -> str:
    """Returns the text of `rejects.jsonl`."""
    return "".join(json_line(asdict(file)) for file in files)


def json_line(content: Mapping[str, Any]) -> str:
    """Returns a line of JSON; characters are escaped only if a file name is not UTF-8."""
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        text = json.dumps(content)
    return f"{text}\n"
