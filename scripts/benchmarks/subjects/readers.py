"""The readers of `scripts/bench readers` that are not beamtune's: it needs grain, array_record and webdataset only.

PYTHON scripts/benchmarks/subjects/readers.py '{"subject": "grain", "folder": "…", "num_examples": 8192}'
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

BATCH_SIZE, SHUFFLE_BUFFER = 64, 4096
LABEL_BYTES = 8


def convert(folder: str, *, num_examples: int) -> Mapping[str, str]:
    """Writes ArrayRecords of the examples in examples.bin; returns the versions of the packages."""
    from array_record.python import array_record_module

    for kind, options in (("plain", "group_size:1,uncompressed"), ("zstd", "group_size:1,zstd:3")):
        for path in sorted(Path(folder, "examples").glob("*.bin")):
            content = path.read_bytes()
            size = len(content) * len(list(path.parent.iterdir())) // num_examples
            writer = array_record_module.ArrayRecordWriter(str(Path(folder, f"{path.stem}.{kind}")), options)
            for start in range(0, len(content), size):
                writer.write(content[start : start + size])
            writer.close()
    return {name: version(name) for name in ("array_record", "grain", "webdataset")}


def to_pair(content: bytes) -> tuple[Any, Any]:
    """Returns the log-mel and the label of an example."""
    values = np.frombuffer(content, dtype=np.float16, offset=LABEL_BYTES).reshape(94, 128)
    return values, np.frombuffer(content, dtype=np.int64, count=1)[0]


def grain_batches(folder: str, *, kind: str) -> Iterable[Any]:
    """Returns the batches of an epoch in grain's global order."""
    import grain.python as grain

    paths = sorted(str(path) for path in Path(folder).glob(f"*.{kind}"))
    source = grain.MapDataset.source(grain.ArrayRecordDataSource(paths))
    examples = source.seed(0).shuffle().map(to_pair).batch(BATCH_SIZE, drop_remainder=True)
    # One core reads: more threads only wait for each other.
    return examples.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))


def webdataset_batches(folder: str) -> Iterable[Any]:
    """Returns the batches of an epoch in WebDataset's order: shuffled shards, then a buffer."""
    import webdataset

    paths = sorted(str(path) for path in Path(folder).glob("*.tar"))
    return (
        webdataset.WebDataset(paths, shardshuffle=len(paths), seed=0)
        .shuffle(SHUFFLE_BUFFER)
        .map(lambda sample: to_pair(sample["bin"]))
        .batched(BATCH_SIZE, partial=False)
    )


READERS: Mapping[str, Callable[[str], Iterable[Any]]] = {
    "grain": lambda folder: grain_batches(folder, kind="plain"),
    "grain, zstd": lambda folder: grain_batches(folder, kind="zstd"),
    "webdataset": webdataset_batches,
}


def measure(folder: str, *, reader: str, num_examples: int) -> float:
    """Returns the examples per second of CPU time, in the second of two epochs."""
    for _ in range(2):
        started_s = time.process_time()
        num_batches = 0
        for values, labels in READERS[reader](folder):
            assert np.asarray(values).shape == (BATCH_SIZE, 94, 128) and len(labels) == BATCH_SIZE
            num_batches += 1
        assert num_batches == num_examples // BATCH_SIZE
        elapsed_s = time.process_time() - started_s
    return num_examples / elapsed_s


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    subject = options.pop("subject")
    print(json.dumps(convert(**options) if subject == "convert" else measure(reader=subject, **options)))
