"""What is worth saying of the image of a job or a server."""

from beam_pipelines.common.package_builds import beamtune_version
from configs.launch.setting_checks import IMAGE


def image_notes(image: str, *, lookup: str = "") -> list[str]:
    """Returns whether an image may change, or may not know the settings.

    Args:
        image: Its name.
        lookup: The command that prints its digest; "" for none.
    """
    found = IMAGE.fullmatch(image)
    if found is None:
        return []
    notes = []
    if found["digest"] is None:
        form, command = ("", f": {lookup} prints it, for …@sha256:…") if lookup else (" (…@sha256:…)", "")
        notes.append(f"launch.image={image} has no digest{form}, and may be another image later{command}")
    here = beamtune_version()
    if found["tag"] not in (None, here):
        notes.append(
            f"the tag of the image is {found['tag']}, and beamtune here is {here}: it must know these settings"
        )
    return notes


def cloud_image_notes(image: str) -> list[str]:
    """Returns the notes on an image in a registry of Google Cloud."""
    command = f"gcloud artifacts docker images describe {image} --format='value(image_summary.digest)'"
    return image_notes(image, lookup=command)
