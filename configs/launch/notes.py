"""What is worth saying of the image of a job or a server."""

from beam_pipelines.common.package_builds import beamtune_version
from configs.launch.config import CloudConfig


def image_notes(config: CloudConfig) -> list[str]:
    """Returns whether the image may change, or may not know the settings."""
    notes = []
    if config.digest is None:
        notes.append(
            f"launch.image={config.image} has no digest, and may be another image later: gcloud artifacts docker "
            f"images describe {config.image} --format='value(image_summary.digest)' prints it, for …@sha256:…"
        )
    here = beamtune_version()
    if config.tag is not None and config.tag != here:
        notes.append(f"the tag of the image is {config.tag}, and beamtune here is {here}: it must know these settings")
    return notes
