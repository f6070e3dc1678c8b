"""Settings of `beamtune export`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.retries import StorageConfig

SAVED_MODEL, KERAS, ONNX = "saved_model", "keras", "onnx"
# Of encoded files. It is written with `saved_model` where tensorflow-io is installed, and cannot be chosen.
SAVED_MODEL_BYTES = "saved_model_bytes"
TFLITE, TFLITE_FLOAT16, TFLITE_DYNAMIC, TFLITE_INT8 = "tflite", "tflite_float16", "tflite_dynamic", "tflite_int8"
# The types of the numbers in each format of TensorFlow Lite.
TFLITE_TYPES = {TFLITE: "float32", TFLITE_FLOAT16: "float16", TFLITE_DYNAMIC: "dynamic", TFLITE_INT8: "int8"}
# Of one segment of audio. The others have whole tracks, or features.
SEGMENT_FORMATS = (*TFLITE_TYPES, ONNX)
FORMATS = (SAVED_MODEL, KERAS, *SEGMENT_FORMATS)
# What `max_difference` is multiplied by: these compute spectra in float32, or the network with fewer bits, or decode
# files with another decoder.
DIFFERENCE_FACTORS = {
    SAVED_MODEL_BYTES: 10,
    TFLITE: 2,
    ONNX: 2,
    TFLITE_FLOAT16: 20,
    TFLITE_DYNAMIC: 200,
    TFLITE_INT8: 200,
}


@dataclass(frozen=True)
class ExportConfig:
    """Settings of `beamtune export`, in addition to the run; raises UserError for an invalid value.

    Attributes:
        output_dir: Where the export is written, a new or empty folder, local or gs://.
        formats: The formats to write.
        reference_clips: The most clips of the prepared data that the export is compared on with `beamtune predict`.
        max_difference: The largest difference of a probability between the two; above it the export fails. It is
            multiplied by `DIFFERENCE_FACTORS` for the formats that are less exact.
        storage: How buckets are treated.
    """

    output_dir: str = MISSING
    formats: list[str] = field(default_factory=lambda: [SAVED_MODEL])
    reference_clips: int = 8
    max_difference: float = 1e-3
    storage: StorageConfig = field(default_factory=StorageConfig)

    def __post_init__(self) -> None:
        check_path(self.output_dir, key="output_dir")
        check(
            len(self.formats) > 0 and len(set(self.formats)) == len(self.formats),
            key="formats",
            value=self.formats,
            expected=f"a list of some of {', '.join(FORMATS)}, each once",
        )
        for name in self.formats:
            check_choice(name, FORMATS, key="formats")
        check(
            0 <= self.reference_clips <= 1000,
            key="reference_clips",
            value=self.reference_clips,
            expected="a whole number from 0 to 1000",
        )
        check(
            0 < self.max_difference <= 1,
            key="max_difference",
            value=self.max_difference,
            expected="a difference of probabilities, more than 0 and at most 1",
        )
