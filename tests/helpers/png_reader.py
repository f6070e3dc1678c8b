"""Decodes PNG files."""

import io

from PIL import Image


def read_png(png: bytes) -> Image.Image:
    """Returns the decoded image; raises an error if the file is damaged."""
    image = Image.open(io.BytesIO(png))
    image.load()
    return image
