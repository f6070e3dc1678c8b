"""Renders the page of a report from its content, so that every number on it is one of `report.json`."""

from collections.abc import Mapping
from typing import Any

from trainer.common.drawing import in_words
from trainer.common.pages import page_template
from trainer.data.group_word import GROUP, groups_phrase
from trainer.explore.excerpts import Excerpt, MissingExcerpt
from trainer.metrics.level_metrics import Interval
from trainer.metrics.score_tables import MOST_MATRIX_GENRES, score_text
from trainer.report.charts import calibration_chart, coverage_chart, learning_chart, trials_chart
from trainer.report.collected import CROSSVAL, SEARCH

_TEMPLATE = "page.html.jinja"
_LOSSES = {"train_loss": "train", "validation_loss": "validation"}
_ACCURACIES = {
    "train_accuracy": "train segments",
    "validation_accuracy": "validation segments",
    "validation_track_accuracy": "validation tracks",
}
# A model whose highest and lowest probability of a predicted genre are closer than this is about equally certain.
_LEAST_SPREAD = 0.05
_TITLES = {
    "scores": "Accuracy",
    "trials": "Trials",
    "genres": "Genres",
    "confusion": "Confusion",
    "certainty": "Certainty",
    "learning": "Learning curves",
    "mistakes": "Mistakes to hear",
    "groups": "Errors by {}",
    "data": "Data",
    "reproduce": "Settings, versions and how to reproduce",
}


def render_page(report: Mapping[str, Any], *, excerpts: Mapping[str, Excerpt | MissingExcerpt]) -> str:
    """Returns the HTML of the page.

    Args:
        report: The content of `report.json`.
        excerpts: The excerpts of tracks, by id.
    """
    anchors, group_word = _anchors(report), report.get("group_word", GROUP)
    titles = {anchor: title.format(group_word) for anchor, title in _TITLES.items()}
    return page_template(__package__, _TEMPLATE).render(
        report=report,
        contents=[(anchor, titles[anchor]) for anchor in anchors],
        titles=titles,
        group_word=group_word,
        groups_phrase=groups_phrase(group_word),
        charts=_charts(report),
        excerpts={track_id: excerpt for track_id, excerpt in excerpts.items() if isinstance(excerpt, Excerpt)},
        most_matrix_genres=MOST_MATRIX_GENRES,
        least_spread=_LEAST_SPREAD,
        in_words=in_words,
        score=_score,
        percent=_percent,
    )


def _anchors(report: Mapping[str, Any]) -> list[str]:
    if report["kind"] == SEARCH:
        return ["trials", "reproduce"]
    learning = [] if report["kind"] == CROSSVAL or not report["epochs"] else ["learning"]
    return ["scores", "genres", "confusion", "certainty", *learning, "mistakes", "groups", "data", "reproduce"]


def _charts(report: Mapping[str, Any]) -> dict[str, str]:
    if report["kind"] == SEARCH:
        scores = [trial["score"] for trial in report["scores_in_order"]]
        return {
            "trials": trials_chart(scores, objective=report["search"]["objective"], best=report["best"]["score"]),
        }
    curve = report["coverage"]["curve"]
    charts = {
        "calibration": calibration_chart(report["calibration"]),
        "coverage": coverage_chart(curve, accuracy=curve[-1]["accuracy"]),
    }
    if report.get("epochs"):
        epochs, best = report["epochs"], report["best_epoch"]
        charts["loss"] = learning_chart(epochs, _LOSSES, name="loss", unit="loss of segments", best_epoch=best)
        charts["accuracy"] = learning_chart(epochs, _ACCURACIES, name="accuracy", unit="accuracy", best_epoch=best)
    return charts


def _score(value: float | None, interval: Mapping[str, float] | None = None) -> str:
    return score_text(value, None if interval is None else Interval(**interval))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
