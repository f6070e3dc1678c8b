"""Settings of `beamtune quick`: those of `beamtune prepare`, and a few of its own.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field, fields, replace

from beam_pipelines.common.checks import check
from beam_pipelines.features.config import MusicnnConfig, YamnetConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.splits.config import SplitConfig
from trainer.export.config import SAVED_MODEL, ExportConfig


@dataclass(frozen=True)
class QuickConfig(PrepareConfig):
    """Settings of `beamtune quick`; raises UserError for an invalid value.

    Attributes:
        output_dir: The folder of all results, local or gs://: `prepared`, `crossval`, `run`, `export` and `report`.
        split: Every track is trained on, so that no fraction is left for validation and test.
        folds: The most folds of the cross-validation; there are fewer if a genre has fewer artists.
        formats: The formats of the export.
    """

    split: SplitConfig = field(
        default_factory=lambda: SplitConfig(source="group", validation_fraction=0.0, test_fraction=0.0)
    )
    folds: int = 5
    formats: list[str] = field(default_factory=lambda: [SAVED_MODEL])

    def __post_init__(self) -> None:
        super().__post_init__()
        others = [name for name, one in self.features.items() if not isinstance(one, YamnetConfig | MusicnnConfig)]
        check(not others, key="features", value=others, expected="embeddings: musicnn, yamnet or both")
        expected = SplitConfig(source="group", validation_fraction=0.0, test_fraction=0.0)
        check(
            self.split == expected,
            key="split",
            value=self.split,
            expected="no split: the cross-validation makes folds, and beamtune prepare makes splits",
        )
        check(
            not self.overwrite,
            key="overwrite",
            value=self.overwrite,
            expected="false: results of other songs need another output_dir",
        )
        check(2 <= self.folds <= 1000, key="folds", value=self.folds, expected="2 to 1000 folds")
        ExportConfig(output_dir=self.output_dir, formats=self.formats)  # checks the formats

    def prepare_config(self, output_dir: str) -> PrepareConfig:
        """Returns the settings of `beamtune prepare`, with which the data are prepared in another folder."""
        shared = {one.name: getattr(self, one.name) for one in fields(PrepareConfig)}
        return replace(PrepareConfig(**shared), output_dir=output_dir)
