"""The settings and the scores of a run, and a description of its data set, as text in Markdown."""

from collections.abc import Mapping
from dataclasses import asdict

import yaml

from beam_pipelines.records.schema import SPLITS
from trainer.board.config import RunSettings
from trainer.common.markdown import markdown_table, plain_text, preformatted
from trainer.data.group_word import group_word_of_preparation, groups_phrase
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import LevelMetrics, tracks_have_groups
from trainer.metrics.score_tables import SCORE_ROWS, few_groups_notes, split_title, with_interval


def config_text(config: RunSettings) -> str:
    """Returns all settings as YAML in a Markdown code block."""
    return preformatted(yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True))


def split_text(data: PreparedData) -> str:
    """Returns how the splits were made, and why scores on them may be too high, in Markdown."""
    leak = data.stats.split_leak
    warning = "" if leak is None else f"\n\n**Leaky: scores are too high.** {plain_text(leak)}"
    return f"split: {plain_text(data.stats.split_source)}{warning}"


def scores_text(split: str, levels: Mapping[str, LevelMetrics], *, data: PreparedData) -> str:
    """Returns a Markdown table of the scores of each level, with 95 % intervals over groups in brackets.

    Args:
        split: The name of the split.
        levels: Its metrics.
        data: Its data set.
    """
    rows = [["examples", *(str(metrics.num_examples) for metrics in levels.values())]]
    rows += [[title, *(with_interval(metrics, name) for metrics in levels.values())] for title, name in SCORE_ROWS]
    table = markdown_table([split_title(split, data.stats.split_leak), *levels], rows)
    word = group_word_of_preparation(
        data.preparation, has_groups=tracks_have_groups(levels, split_leak=data.stats.split_leak)
    )
    notes = [
        f"in brackets: 95 % intervals over {groups_phrase(word)}",
        *few_groups_notes(levels.values(), group_word=word),
    ]
    return "\n\n".join([table, *map(plain_text, notes)])


def data_card(data: PreparedData) -> str:
    """Returns a Markdown table of the tracks and segments by genre and split, and the hours of audio."""
    stats = data.stats
    splits = [split for split in SPLITS if sum(stats.num_segments.get(split, {}).values()) > 0]
    rows = [
        [label, *(_amount(stats.num_tracks.get(s, {}).get(label), stats.num_segments[s].get(label, 0)) for s in splits)]
        for label in data.labels
    ]
    totals = [
        _amount(sum(stats.num_tracks.get(split, {}).values()), sum(stats.num_segments[split].values()))
        for split in splits
    ]
    hours = [f"{stats.audio_s.get(split, 0.0) / 3600:.2f} h" for split in splits]
    table = markdown_table(
        ["tracks (segments)", *splits], [*rows, ["all genres", *totals], ["audio in segments", *hours]]
    )
    return f"{plain_text(data.info.name)}, `{data.cache_key}`\n\n{split_text(data)}\n\n{table}"


def _amount(num_tracks: int | None, num_segments: int) -> str:
    return f"{num_tracks or 0} ({num_segments})"
