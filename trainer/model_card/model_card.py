"""`model_card.md` of a run and of an export, made by one function from what the run directory holds.

It has no dates, paths or durations, so that a run that is interrupted and resumed has the same card.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from beam_pipelines.common.lease import UPDATE_LEASE_FILE, holding
from beam_pipelines.common.saved_settings import SettingValue, trained_settings
from beam_pipelines.features.pretrained_networks import PretrainedNetwork
from beam_pipelines.records.schema import SPLITS
from trainer.common import files
from trainer.common.code_words import SPLIT_SOURCES, words_of
from trainer.common.markdown import markdown_table, plain_text, preformatted
from trainer.model_card.facts import RunFacts, backbone_of, own_networks, pretrained_networks, read_facts
from trainer.model_card.front_matter import front_matter, model_name
from trainer.model_card.scores import score_sections
from trainer.runs.run_dir import RunDir

CARD_FILE = "model_card.md"

_ORDER_SETTINGS = ("cache", "shuffle_buffer_examples")


def write_model_card(run: RunDir) -> None:
    """Writes the card of a run, or replaces it: called when the training or an evaluation has changed the scores.

    Raises:
        UserError: A file of the run is damaged, or another command does not finish its update.
    """
    # Another command may evaluate another split at the same time.
    with holding(run.path, key="run_dir", name=UPDATE_LEASE_FILE, wait_s=60.0):
        files.write_text(files.join(run.path, CARD_FILE), model_card(read_facts(run)))


def model_card(facts: RunFacts, *, formats: Sequence[str] = ()) -> str:
    """Returns a description of a model, its data, its scores and its limits, in Markdown.

    Args:
        facts: What is known of the run.
        formats: The files of an export; without them the section about formats is left out.
    """
    paragraphs = [
        f"# {plain_text(model_name(facts))}",
        _summary(facts),
        *_formats(formats),
        *_use(facts),
        *_data(facts),
        *score_sections(facts),
        *_limits(facts),
        *_how_to_use(),
        *_reproduction(facts),
        *_licence(facts),
    ]
    return front_matter(facts) + "\n" + "\n\n".join(paragraphs) + "\n"


def _summary(facts: RunFacts) -> str:
    genres = ", ".join(map(plain_text, facts.data.labels))
    parts = [f"A classifier of music into {len(facts.data.labels)} genres: {genres}."]
    if facts.metrics is not None and facts.metrics.model.num_parameters is not None:
        parts.append(f"It has {facts.metrics.model.num_parameters:,} parameters.")
    features = ", ".join(map(plain_text, facts.model_config.feature_names))
    length = "" if facts.preparation is None else f" of {facts.preparation.segment.duration_s:g} s"
    parts.append(f"Its input is {features} of segments{length}; a track has the mean probability of its segments.")
    return " ".join(parts)


def _formats(formats: Sequence[str]) -> list[str]:
    if not formats:
        return []
    return [
        "## Formats",
        f"{', '.join(formats)}; `signature.json` has the inputs and outputs, and `export.json` how far the results are "
        "from those of `beamtune predict`.",
    ]


def _use(facts: RunFacts) -> list[str]:
    return [
        "## Intended use",
        "To suggest a genre for recordings of music like those that it was trained on: to sort or search a "
        "collection, with a person who can correct it.",
        "Not for decisions about people, payments or rights, nor for what is not music. Every input gets one of these "
        f"{len(facts.data.labels)} genres: music of other genres, speech and noise, too. A track whose segments are "
        "all silent gets none. `min_confidence` of `beamtune predict` calls tracks with a low probability unknown; a "
        "high probability does not show that a track belongs to one of the genres.",
    ]


def _data(facts: RunFacts) -> list[str]:
    data, stats, word = facts.data, facts.data.stats, facts.group_word
    leak = stats.split_leak
    kind = facts.dataset_kind
    source = "where its audio came from is not recorded" if kind is None else f"prepared from `dataset={kind}`"
    if leak is not None:
        apart = f"**The split leaks: {plain_text(leak)}. All scores below are too high.**"
    elif facts.contamination:
        apart = "**A pretrained network of its features has heard this music. All scores below are too high.**"
    elif stats.split_source in ("group", "folds"):
        apart = f"No {word} is in two splits: the scores are on {word}s that the model has never heard."
    else:
        apart = "The metadata state no leak between the splits."
    how = plain_text(words_of(stats.split_source, SPLIT_SOURCES))
    splits = [split for split in SPLITS if stats.num_segments.get(split)]
    rows = [[label, *(_amount(facts, split, label) for split in splits)] for label in data.labels]
    totals = [_total(facts, split) for split in splits]
    groups = [str(facts.num_groups[split]) if split in facts.num_groups else "–" for split in splits]
    hours = [f"{stats.audio_s[split] / 3600:.2f} h" if split in stats.audio_s else "–" for split in splits]
    return [
        "## Data",
        f"{plain_text(data.info.name)}, {source}. Its metadata state no licence of the recordings and name no rights "
        "holders: whoever publishes the model has to find out whether they may.",
        f"Splits: {how}. {apart}",
        markdown_table(
            ["tracks (segments)", *splits],
            [*rows, ["all genres", *totals], [f"{word}s", *groups], ["audio in segments", *hours]],
        ),
    ]


def _amount(facts: RunFacts, split: str, label: str) -> str:
    stats = facts.data.stats
    num_tracks = stats.num_tracks.get(split, {}).get(label)
    return f"{'–' if num_tracks is None else num_tracks} ({stats.num_segments[split].get(label, 0)})"


def _total(facts: RunFacts, split: str) -> str:
    stats = facts.data.stats
    num_tracks = sum(stats.num_tracks[split].values()) if stats.num_tracks.get(split) else "–"
    return f"{num_tracks} ({sum(stats.num_segments[split].values())})"


def _limits(facts: RunFacts) -> list[str]:
    items = [
        f"A genre is what the labels of {plain_text(facts.data.info.name)} say. Other collections draw the line "
        "elsewhere, and a track can belong to several genres; the model names one.",
        f"Intervals are about other {facts.group_word}s of the same collection. Music from other times, regions and "
        "languages, live recordings and other kinds of production are untested unless the collection has them.",
        "Audio that is not music, and music mixed with speech, are untested.",
        "The model may recognise how a recording was made, or who made it, in place of its genre."
        + (
            ""
            if facts.data.stats.split_leak is None
            else " With this split, the scores do not show how it does on artists that it has never heard."
        ),
    ]
    return ["## Limits", "\n".join(f"- {item}" for item in items)]


def _how_to_use() -> list[str]:
    lines = (
        "beamtune predict RUN song.mp3               # RUN: the run, or an export of it",
        "beamtune export RUN output_dir=EXPORT       # for other software",
        "python -c \"import beamtune; print(beamtune.load('RUN').predict('song.mp3'))\"",
    )
    return ["## How to use it", preformatted("\n".join(lines))]


def _reproduction(facts: RunFacts) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    preparation = {} if facts.preparation is None else facts.preparation.versions
    libraries = ", ".join(f"{plain_text(name)} {plain_text(str(found))}" for name, found in preparation.items())
    trained_with = (
        f"Trained with: {plain_text(versions) if versions else 'versions that the run does not record'}. Audio and "
        f"features: {libraries or 'versions that the data do not record'}."
    )
    fitted = None if facts.metrics is None else facts.metrics.model.hyperparameters
    if fitted is not None:
        values = ", ".join(f"{name} {value:g}" for name, value in fitted.items())
        return [
            "## How to reproduce it",
            trained_with,
            f"`beamtune quick` has fitted the weights to all tracks by logistic regression with {values}; the scores "
            "are of a cross-validation, in which each track is predicted by a model that was fitted without its group.",
        ]
    settings = yaml.safe_dump(_overrides(facts.config), allow_unicode=True, width=1000)
    return [
        "## How to reproduce it",
        trained_with,
        f"Data with the cache key `{plain_text(facts.data.cache_key)}`, which `_SUCCESS` in the prepared directory "
        "holds, and these settings in a file:",
        preformatted(settings),
        preformatted("beamtune train data_dir=DATA run_dir=RUN overrides=FILE"),
        "On CPUs this gives the same weights, bit for bit, with the same versions and number of devices, unless "
        "tensorflow-io draws masks.",
    ]


def _overrides(config: Mapping[str, Any]) -> list[str]:
    """Returns settings as `overrides=FILE` takes them, the model first, because its name selects its settings."""
    # These determine the order of the examples.
    settings = {**trained_settings(config), **{key: config[key] for key in _ORDER_SETTINGS if key in config}}
    first = [f"model={settings['model.name']}"] if "model.name" in settings else []
    others = [f"{key}={_override_value(value)}" for key, value in settings.items() if key != "model.name"]
    return [*first, *others]


def _override_value(value: SettingValue) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _licence(facts: RunFacts) -> list[str]:
    parts = [
        "Nobody has stated a licence of these weights. beamtune itself is under the Apache License 2.0, which says "
        "nothing about models that are trained with it."
    ]
    networks = () if facts.preparation is None else pretrained_networks(facts.preparation, facts.model_config)
    parts += [
        f"The model contains, or takes its input from, weights of {network.name}, under the {network.licence}; they "
        f"were trained on {_collections(network)}."
        for network in networks
        if not network.is_own
    ]
    backbone = backbone_of(facts.model_config)
    if backbone is not None:
        parts.append(
            f"Its weights started from those of {plain_text(backbone)} in keras.applications, trained on ImageNet: "
            "https://keras.io/api/applications/ names their licences."
        )
    return ["## Licence", " ".join(parts), *_own_networks(facts)]


def _own_networks(facts: RunFacts) -> list[str]:
    """Returns a paragraph for each network that the user brought, with the text of its licence behind it."""
    paragraphs = []
    for name, network in own_networks(facts.preparation, facts.model_config).items():
        sha256 = facts.preparation.sources.get(name, {}).get("network") if facts.preparation else None
        learned = f"It was trained on {_collections(network)}. " if network.collections else ""
        licence = "It is under this licence:" if network.licence else "Nobody has stated its licence."
        paragraphs.append(
            f"The feature `{plain_text(name)}` is computed by the network {plain_text(network.name)} (SHA-256 "
            f"`{plain_text(str(sha256))}`). {learned}{licence}"
        )
        if network.licence:
            paragraphs.append(preformatted(network.licence))
    return paragraphs


def _collections(network: PretrainedNetwork) -> str:
    return " and ".join(plain_text(collection.name) for collection in network.collections)
