"""How often the report of a batch is written."""

import io
import time

import pytest
import soundfile

from beam_pipelines.common import storage
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import Batch, Conversion, SourceFile
from beam_pipelines.convert.pipeline import ConvertFiles
from beam_pipelines.convert.work_dir import WorkDir
from beam_pipelines.runners.config import DirectRunnerConfig

BAD = "20.wav"


def wav() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, [0.1] * 800, 8_000, format="WAV")
    return buffer.getvalue()


def batch_of(num_files: int) -> Batch:
    sources = [
        SourceFile(path=f"{n}.wav", uri=f"{n}.wav", size_bytes=9, updated_s=0.0) for n in range(1, 1 + num_files)
    ]
    return Batch(name="x", conversions=[Conversion(source=source, output=source.path) for source in sources])


@pytest.mark.parametrize(("output_dir", "written"), [("gs://bucket/out", [10, 20, 30]), ("out", list(range(1, 31)))])
def test_a_bucket_is_written_to_every_10_s_and_a_local_folder_after_each_file(monkeypatch, output_dir, written):
    """A file takes a second; the last report is always written, and a file is reported before it is renamed."""
    now_s = [1000.0]
    events: list[tuple[str, object]] = []

    def open_source(uri: str) -> io.BytesIO:
        now_s[0] += 1.0
        return io.BytesIO(b"no audio" if uri == BAD else wav())

    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(storage, "open_local", open_source)
    monkeypatch.setattr(WorkDir, "write_report", lambda self, name, report: events.append(("report", report.num_files)))
    monkeypatch.setattr(WorkDir, "write_output", lambda self, name, content: events.append(("output", name)))
    config = ConvertConfig(source="in", output_dir=output_dir, runner=DirectRunnerConfig())
    assert list(ConvertFiles(config).process(batch_of(30))) == ["x"]
    assert [what for kind, what in events if kind == "report"] == written
    assert [what for kind, what in events if kind == "output"] == [f"{n}.wav" for n in range(1, 31) if n != 20]
    first = written[0]
    assert events.index(("report", first)) < events.index(("output", f"{first}.wav"))
