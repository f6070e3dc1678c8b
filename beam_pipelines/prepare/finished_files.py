"""Whether the files of a finished data set are those that its metadata states."""

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local
from beam_pipelines.records.schema import (
    DATASET_INFO_FILE,
    FEATURES_FILE,
    LABELS_FILE,
    STATS_FILE,
    features_from_json,
    info_from_json,
    shard_filenames,
    stats_from_json,
)
from beam_pipelines.records.tfrecord import HEADER_BYTES, DamagedRecordError, record_data, record_size


def find_damage(output_dir: str, *, reads_shards: bool) -> str | None:
    """Returns what is wrong with a finished data set, as a part of a sentence; None if nothing is.

    Args:
        output_dir: Its directory.
        reads_shards: Whether to read local shards and to compare their checksums, and not only their sizes.
    """
    texts = []
    for name in (DATASET_INFO_FILE, FEATURES_FILE, STATS_FILE, LABELS_FILE):
        path = storage.join(output_dir, name)
        try:
            texts.append(storage.read_text(path))
        except (OSError, UnicodeDecodeError):
            return f"{path} is missing or damaged"
    try:
        info = info_from_json(texts[0])
        features_from_json(texts[1])
        stats_from_json(texts[2])
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"{storage.join(output_dir, DATASET_INFO_FILE)} or a file beside it is damaged"
    sizes_bytes = {entry.path: entry.size_bytes for entry in storage.list_files(output_dir)}
    for split in info.splits:
        paths = [storage.join(output_dir, name) for name in shard_filenames(info.name, split)]
        missing = [path for path in paths if path not in sizes_bytes]
        if missing:
            return f"{missing[0]} is missing"
        num_bytes = sum(sizes_bytes[path] for path in paths)
        if num_bytes != split.num_bytes:
            return f"the shards of the {split.name} split have {num_bytes} bytes, expected {split.num_bytes}"
        if reads_shards and is_local(output_dir):
            for path, num_examples in zip(paths, split.shard_lengths, strict=True):
                num_intact = _count_records(path)
                if num_intact != num_examples:
                    return f"{path} is damaged after {num_intact} of {num_examples} examples"
    return None


def require_intact(output_dir: str) -> None:
    """Checks the sizes of the files of a finished data set; not in a bucket, where it would take requests.

    Raises:
        UserError: A file is missing, or has another size.
    """
    damage = find_damage(output_dir, reads_shards=False) if is_local(output_dir) else None
    if damage is not None:
        raise UserError(f"{damage}: set overwrite=true to prepare the data set again")


def _count_records(path: str) -> int:
    """Returns the number of records of a local file up to where it ends or is damaged."""
    count, num_left = 0, storage.size_bytes(path)
    with storage.open_file(path) as file:
        while (size := record_size(header := file.read(HEADER_BYTES))) is not None and size <= num_left:
            try:
                record_data(header + file.read(size - HEADER_BYTES))
            except DamagedRecordError:
                break
            num_left -= size
            count += 1
    return count
