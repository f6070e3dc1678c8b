"""The audio files below a folder of any kind."""

from beam_pipelines.common import storage
from beam_pipelines.datasets.audio_listing import FoundAudio, audio_among


def find_audio(root: str) -> FoundAudio:
    """Returns the audio files in a folder and below it. Links to folders are followed."""
    return audio_among(storage.list_source(root), root)
