"""The audio files among all files of a folder, and sentences about all that looks like audio and is left out."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.audio.load import AUDIO_EXTENSIONS, is_audio_path
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.output_streams import shown_names
from beam_pipelines.common.source_listing import SourceListing
from beam_pipelines.common.terminal import counted

# Endings of audio files, of which those that are not in AUDIO_EXTENSIONS are left out.
_AUDIO_LIKE_ENDING = re.compile(
    r"\.(3ga|3gp|8svx|aac|ac3|aifc?|aiff|alac|amr|ape|au|avr|awb|bwf|caf|dff|dsf|dss|dts|eac3|f4a|flac|gsm|iff|m4[abpr]"
    r"|midi?|mka|mp[1234acp+]|mpga|og[agx]|ofr|oma|opus|paf|pvf|ra|rf64|rm|sd2|sf|shn|snd|spx|tak|tta|voc|vox|w64"
    r"|wave?|weba|webm|wma|wv)"
)


@dataclass(frozen=True)
class FoundAudio:
    """The result of a search.

    Attributes:
        files: The audio files, ordered by path.
        notes: Sentences that count and name what looks like audio, or is a folder, and is left out.
    """

    files: Sequence[FileEntry]
    notes: Sequence[str]


def audio_among(listing: SourceListing, root: str) -> FoundAudio:
    """Returns the audio files in the listing of a folder.

    Args:
        listing: All files of the folder, ordered by path.
        root: The folder.
    """
    files, names_of = [], defaultdict(list)
    for left_out in listing.left_out:
        names_of[left_out.reason].append(_below(left_out.path, root))
    other_endings = []
    for entry in listing.files:
        name = _below(entry.path, root)
        if is_audio_path(name):
            files.append(entry)
        elif name.lower().endswith(AUDIO_EXTENSIONS):
            names_of["hidden audio files"].append(name)
        elif _AUDIO_LIKE_ENDING.fullmatch(_ending(name)):
            other_endings.append(name)
    return FoundAudio(files=files, notes=[*_other_endings_note(other_endings), *_notes(names_of)])


def _other_endings_note(names: Sequence[str]) -> Iterator[str]:
    if names:
        endings = ", ".join(f"{count} {ending}" for ending, count in Counter(map(_ending, names)).most_common())
        yield (
            f"{counted(len(names), 'audio file')} left out, with endings that are not read ({endings}): "
            f"{shown_names(names)}; beamtune reads {' '.join(AUDIO_EXTENSIONS)}"
        )


def _notes(names_of: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield from (f"{what} left out ({len(names)}): {shown_names(names)}" for what, names in names_of.items())


def _below(path: str, root: str) -> str:
    return path[len(root.rstrip("/")) :].lstrip("/")


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
