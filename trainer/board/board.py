"""Writes a run's settings, the scores of each epoch, and the examples of its best weights for TensorBoard.

Scores are written to `train/` and `validation/` in the run directory, so that TensorBoard draws both splits in one
chart; settings and final scores are written to the run directory itself. Another directory can take its place.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.board.audio_clips import AudioClip, find_audio_clips
from trainer.board.config import RunSettings
from trainer.board.evaluated_scores import remove_test_scores
from trainer.board.hparams_plugin import best_scores, end_summary, experiment_summary, settings_of, start_summary
from trainer.board.mistakes import mistake_title, mistakes_table, worst_mistakes
from trainer.board.pictures import Panel, confusion_png, spectrograms_png
from trainer.board.projector import Embedder, write_projector
from trainer.board.segment_reader import read_segments, sample_segments
from trainer.board.spectrograms import Spectrogram, read_preparation
from trainer.board.tags import BEST_CONFUSION, EPOCH_CONFUSION, SPECTROGRAMS, scalar_tag
from trainer.board.texts import config_text, data_card, scores_text
from trainer.common import files
from trainer.common.drawing import shown_name
from trainer.common.event_files import EventFile, remove_event_files, remove_events_after
from trainer.data.prepared import PreparedData, Shard, select_features
from trainer.metrics.level_metrics import TRACK, LevelMetrics
from trainer.metrics.predictions import Predictions
from trainer.metrics.scalars import scalars_of_split
from trainer.models.registry import build_model
from trainer.runs.checkpoints import restore_model
from trainer.runs.run_dir import RunDir

# The results have files of their own: when writing them is interrupted, all of them are written again.
_END_SUFFIX = ".end.v2"
_EPOCHS_SUFFIX = ".epochs.v2"


class Board:
    """The TensorBoard events of one run: a `RunSink`. Every process of a run has a board; only the chief's writes."""

    def __init__(
        self,
        config: RunSettings,
        *,
        run: RunDir,
        data: PreparedData,
        validation_shards: Sequence[Shard],
        directory: str | None = None,
        is_writer: bool = True,
        check_owner: Callable[[], None] = lambda: None,
    ) -> None:
        """Reads how the data were prepared; writes nothing yet.

        Args:
            config: The settings of the run.
            run: The directory of the run.
            data: The data set that the model is trained on.
            validation_shards: The shards of the validation split.
            directory: Where the events are written, local or gs://; None is the directory of the run.
            is_writer: Whether this process writes.
            check_owner: Raises if the run belongs to another process now; called before events are written or removed.

        Raises:
            UserError: `prepare.yaml` cannot be read.
        """
        self._config = config
        self._run = run
        self._data = data
        self._shards = validation_shards
        self._is_writer = is_writer
        self._check_owner = check_owner
        self._preparation = read_preparation(data)
        own = run.path if directory is None else directory
        self._directories = own, files.join(own, TRAIN), files.join(own, VALIDATION)
        self._train: EventFile | None = None
        self._validation: EventFile | None = None
        self._drawn_confusion: tuple[list[list[int]], bytes] | None = None

    def opened(self) -> AbstractContextManager[None]:
        """Returns an empty context: files are opened when something is written."""
        return nullcontext()

    @contextmanager
    def epochs(self, *, num_steps_done: int) -> Iterator[None]:
        """Opens the event files for the scores of epochs while the body runs.

        Events of steps that will be trained again are removed first, so that a run that resumes shows one curve.

        Args:
            num_steps_done: Training steps up to the checkpoint that the run resumes from; 0 for a new run.
        """
        if not self._is_writer:
            yield
            return
        self._check_owner()
        remove_test_scores(self._directories[0])  # they may be those of earlier weights
        for directory in self._directories:
            if num_steps_done == 0:
                for suffix in (_EPOCHS_SUFFIX, _END_SUFFIX):
                    remove_event_files(directory, suffix=suffix)
            else:
                remove_events_after(directory, step=num_steps_done)
        if num_steps_done == 0:
            self._write_start()
        with ExitStack() as stack:
            self._train, self._validation = (
                stack.enter_context(EventFile(directory, suffix=_EPOCHS_SUFFIX)) for directory in self._directories[1:]
            )
            yield
        self._train = self._validation = None

    def _write_start(self) -> None:
        settings = settings_of(self._config, self._data)
        with EventFile(self._directories[0], suffix=_EPOCHS_SUFFIX) as events:
            events.text("config", config_text(self._config), step=0)
            events.text("data", data_card(self._data), step=0)
            if self._config.board.hparams:
                events.message(experiment_summary(settings), step=0)
                events.message(start_summary(settings), step=0)

    def write_epoch(self, *, step: int, training: Mapping[str, float], validation: Mapping[str, LevelMetrics]) -> None:
        """Writes the scores of an epoch; does nothing outside of `epochs`.

        Args:
            step: Training steps up to the end of the epoch.
            training: Scalars of the train split, by name.
            validation: The metrics of the validation split by level; empty when the model is trained on it.
        """
        if self._train is None or self._validation is None:
            return
        self._check_owner()
        for name, value in training.items():
            self._train.scalar(scalar_tag(name), value, step=step)
        if validation:
            self._write_validation(self._validation, validation, step=step)
        self._train.flush()
        self._validation.flush()

    def _write_validation(self, events: EventFile, validation: Mapping[str, LevelMetrics], *, step: int) -> None:
        for name, value in scalars_of_split(validation, labels=self._data.labels).items():
            events.scalar(scalar_tag(name), value, step=step)
        if self._config.board.confusion_matrix:
            png = self._confusion_png(validation[TRACK].confusion_matrix)
            events.image(EPOCH_CONFUSION, png, step=step, title="validation tracks, after each epoch")

    def _confusion_png(self, matrix: list[list[int]]) -> bytes:
        """Returns the picture of a confusion matrix. Training waits for it, so that the same one is drawn once."""
        if self._drawn_confusion is None or self._drawn_confusion[0] != matrix:
            self._drawn_confusion = matrix, confusion_png(matrix, self._data.labels)
        return self._drawn_confusion[1]

    def write_end(self, predictions: Predictions, levels: Mapping[str, LevelMetrics], *, step: int) -> None:
        """Writes scores, mistakes, spectrograms and embeddings of the best weights on the validation split.

        Only the chief calls this, so it must not communicate with other processes.

        Args:
            predictions: The predictions of the best weights.
            levels: Their metrics by level.
            step: Training steps up to the end of the best epoch.
        """
        self._check_owner()
        for directory in self._directories:
            remove_event_files(directory, suffix=_END_SUFFIX)
        own, train, validation = (EventFile(directory, suffix=_END_SUFFIX) for directory in self._directories)
        with own, train, validation:
            if self._config.board.hparams:
                for tag, value in best_scores(levels).items():
                    own.scalar(tag, value, step=step)
                own.message(end_summary(), step=step)
            if self._config.board.confusion_matrix:
                png = self._confusion_png(levels[TRACK].confusion_matrix)
                validation.image(BEST_CONFUSION, png, step=step, title="validation tracks, best weights")
            validation.text("scores", scores_text(VALIDATION, levels, data=self._data), step=step)
            self._write_mistakes(validation, predictions, step=step)
            self._write_spectrograms(validation, predictions, step=step)
            self._write_embeddings(train, predictions)

    def write_files(self) -> None:
        """Does nothing: TensorBoard shows no files of a run."""

    def _write_mistakes(self, events: EventFile, predictions: Predictions, *, step: int) -> None:
        if self._config.board.num_mistakes == 0:
            return
        labels = self._data.labels
        mistakes = worst_mistakes(predictions, most=self._config.board.num_mistakes)
        clips = find_audio_clips(
            mistakes,
            predictions=predictions,
            data=self._data,
            shards=self._shards,
            preparation=self._preparation,
        )
        audio = []
        for number, (mistake, clip) in enumerate(zip(mistakes, clips, strict=True), start=1):
            tag = f"mistake/{number:02d}"
            if isinstance(clip, AudioClip):
                events.audio(tag, clip.wav, step=step, title=f"{number}. {mistake_title(mistake, labels)}")
                audio.append(f"{tag} on the audio page, from {clip.source}")
            else:
                audio.append(f"none: {clip.reason}")
        events.text("mistakes", mistakes_table(mistakes, labels=labels, audio=audio), step=step)

    def _write_spectrograms(self, events: EventFile, predictions: Predictions, *, step: int) -> None:
        spectrogram = self._preparation.spectrogram
        if spectrogram is None or self._config.board.num_spectrograms == 0:
            return
        for label, panels in self._panels(predictions, spectrogram).items():
            genre = self._data.labels[label]
            events.image(f"{SPECTROGRAMS}/{genre}", spectrograms_png(panels, spectrogram), step=step, title=genre)

    def _panels(self, predictions: Predictions, spectrogram: Spectrogram) -> dict[int, list[Panel]]:
        """Returns the spectrograms to draw, by the index of their true genre."""
        labels = self._data.labels
        rows = [
            row
            for label in range(len(labels))
            for row in sample_segments(
                predictions,
                np.flatnonzero(predictions.segment_labels == label).tolist(),
                most=self._config.board.num_spectrograms,
                seed=self._config.seed,
            )
        ]
        name, shape, dtype = spectrogram.spec.name, spectrogram.spec.shape, spectrogram.spec.dtype
        values: NDArray[np.generic] = np.zeros((len(rows), *shape), dtype=dtype)
        for segments in read_segments(self._shards, predictions, rows, specs={name: spectrogram.spec}):
            values[segments.positions] = segments.features[name]
        panels = defaultdict(list)
        for row, frames in zip(rows, values, strict=True):
            label = int(predictions.segment_labels[row])
            probabilities = predictions.segment_probabilities[row]
            predicted = int(probabilities.argmax())
            title = (
                f"labelled {shown_name(labels[label])},\n"
                f"predicted as {shown_name(labels[predicted])},\n"
                f"p={probabilities[predicted]:.2f}"
            )
            panels[label].append(Panel(title=title, values=frames))
        return dict(panels)

    def _write_embeddings(self, train_events: EventFile, predictions: Predictions) -> None:
        """Writes the points of the projector, and the graph that computes them."""
        config, data = self._config, self._data
        # Not the trained model: reading a variable of a distribution strategy communicates with other processes.
        model = build_model(
            config.model,
            specs=select_features(data, config.model.feature_names),
            stats=self._run.band_stats(data),
            num_classes=len(data.labels),
            pretrained=False,
        )
        restore_model(model, self._run.best_checkpoint())
        embedder = Embedder(model)
        train_events.graph(embedder.graph)
        if config.board.num_embeddings == 0:
            return
        num_segments = len(predictions.segment_tracks)
        rows = sample_segments(predictions, range(num_segments), most=config.board.num_embeddings, seed=config.seed)
        write_projector(
            self._directories[2],
            embedder.embed(self._shards, predictions, rows, data=data),
            predictions=predictions,
            rows=rows,
            labels=data.labels,
        )
