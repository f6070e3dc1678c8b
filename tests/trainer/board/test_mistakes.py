"""The worst mistakes of given probabilities."""

from trainer.board.mistakes import Mistake, mistake_title, mistakes_table, worst_mistakes

LABELS = ("blues", "funk", "waltz")
TRACKS = {
    "right.mp3": (0, [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1]]),
    # The mean probability of its genre is 0.2, and the lowest is that of its second segment.
    "wrong.mp3": (0, [[0.3, 0.6, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1]]),
    "worst.mp3": (2, [[0.05, 0.9, 0.05], [0.15, 0.8, 0.05]]),
    # One segment is misclassified, the track is not.
    "nearly.mp3": (1, [[0.6, 0.4, 0.0], [0.2, 0.8, 0.0]]),
}


def test_the_track_whose_genre_has_the_lowest_probability_is_first(predict):
    predictions = predict(TRACKS)
    first, second = worst_mistakes(predictions, most=10)
    assert (first.track_id, first.label, first.predicted) == ("worst.mp3", 2, 1)
    assert (round(first.label_probability, 9), round(first.predicted_probability, 9)) == (0.05, 0.85)
    assert first.start_s == 0.0  # the first of two equal segments
    assert (second.track_id, second.predicted, second.start_s) == ("wrong.mp3", 1, 2.0)
    assert (round(second.label_probability, 9), round(second.predicted_probability, 9)) == (0.2, 0.5)
    assert predictions.track_ids[predictions.segment_tracks[second.row]] == "wrong.mp3"
    assert predictions.segment_probabilities[second.row].tolist() == [0.1, 0.2, 0.7]
    assert worst_mistakes(predictions, most=1) == [first]
    assert worst_mistakes(predictions, most=0) == []


def test_equal_probabilities_are_in_the_order_of_track_ids(predict):
    equal = (0, [[0.25, 0.75]])
    predictions = predict({"b": equal, "a": equal, "c": equal})
    assert [mistake.track_id for mistake in worst_mistakes(predictions, most=2)] == ["a", "b"]


def test_without_misclassified_tracks_there_is_no_mistake(predict):
    assert worst_mistakes(predict({"a": (0, [[0.9, 0.1]])}), most=5) == []
    assert mistakes_table([], labels=LABELS, audio=[]) == "No track of the validation split is misclassified."


def test_a_mistake_has_a_title_and_a_row_without_markup():
    mistake = Mistake(
        track_id="a|b<i>*[x](y).mp3",
        label=0,
        predicted=2,
        label_probability=0.0321,
        predicted_probability=0.9345,
        row=4,
        start_s=6.0,
    )
    assert mistake_title(mistake, LABELS) == ("a|b<i>*[x](y).mp3: labelled blues, predicted as waltz, p=0.93")
    assert mistakes_table([mistake], labels=LABELS, audio=["none: gone"]).splitlines() == [
        "|  | track | labelled | p | predicted as | p | worst segment starts at | audio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 1 | a&#124;b&lt;i&gt;&#42;&#91;x&#93;(y).mp3 | blues | 0.032 | waltz | 0.934 | 6.00 s | none: gone |",
    ]
