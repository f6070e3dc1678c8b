"""What makes a genre: metre, tempo, drum and comping patterns, harmony and form.

A pattern is one bar of equal steps written as a string, so that it reads like a drum machine's grid:
``X`` is an accent, ``x`` a normal stroke, ``o`` a ghost stroke and ``.`` a rest. In bass patterns a letter names the
chord tone to play: ``R`` root, ``3`` third, ``5`` fifth, ``6`` sixth, ``7`` minor seventh, ``O`` octave.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from beam_pipelines.synthetic.theory import Progression, parse_progression

DRUM_ROLES = ("kick", "backbeat", "hat", "open_hat")
#: The layers that a section of the form switches on: "tops" are the hats, "beat" the kick and the backbeat.
ALL_LAYERS = frozenset({"beat", "tops", "bass", "comp", "lead"})


@dataclass(frozen=True)
class Groove:
    """One bar's rhythm: a pattern for each drum role, for the chords and for the bass."""

    kick: str
    backbeat: str
    hat: str
    open_hat: str
    comp: str
    bass: str

    def drum_patterns(self) -> dict[str, str]:
        """The drum patterns by role, in the order of ``DRUM_ROLES``."""
        return {role: getattr(self, role) for role in DRUM_ROLES}


@dataclass(frozen=True)
class Section:
    """A part of the form, such as a verse: its length in bars and the layers that play in it."""

    name: str
    bars: int
    layers: frozenset[str] = field(default=ALL_LAYERS)


@dataclass(frozen=True)
class Genre:
    """The rules of a genre.

    Attributes:
        name: lower-case name, also the folder's name.
        tempo_range_bpm: the slowest and the fastest tempo, in the beats which ``beats_per_bar`` counts.
        beats_per_bar: the metre.
        steps_per_beat: pattern steps in a beat; 3 is a 12/8 feel where a bar has four beats.
        progressions: chords and scales, repeated as long as needed; an artist has favourites among them.
        grooves: rhythms; an artist has favourites among them.
        fills: a bar's backbeat patterns for the last bar of a section.
        melody_rhythms: a bar's onsets for the melody.
        comp_length_steps: how long a chord sounds.
        melody_repeats: True where the melody is a one-bar ostinato, False where it is phrases of four bars.
        form: the sections, repeated from the second one on as long as needed.
        titles: second words of track titles.
    """

    name: str
    tempo_range_bpm: tuple[float, float]
    beats_per_bar: int
    steps_per_beat: int
    progressions: tuple[Progression, ...]
    grooves: tuple[Groove, ...]
    fills: tuple[str, ...]
    melody_rhythms: tuple[str, ...]
    comp_length_steps: float
    melody_repeats: bool
    form: tuple[Section, ...]
    titles: tuple[str, ...]

    @property
    def steps_per_bar(self) -> int:
        """Pattern steps in a bar: the length of every pattern of the genre."""
        return self.beats_per_bar * self.steps_per_beat


_BLUES = Genre(
    name="blues",
    tempo_range_bpm=(84.0, 118.0),
    beats_per_bar=4,
    steps_per_beat=3,
    progressions=(
        parse_progression("I:7 I:7 I:7 I:7 IV:7 IV:7 I:7 I:7 V:7 IV:7 I:7 V:7", scale="blues"),
        parse_progression("I:7 IV:7 I:7 I:7 IV:9 IV:9 I:7 I:7 V:9 IV:9 I:7 V:9", scale="blues"),
        parse_progression("I:m7 I:m7 I:m7 I:m7 IV:m7 IV:m7 I:m7 I:m7 V:7 IV:m7 I:m7 V:7", scale="minor_pentatonic"),
    ),
    grooves=(
        Groove(
            kick="X.....x.....",
            backbeat="...X.....X..",
            hat="X.xX.xX.xX.x",
            open_hat="............",
            comp="x.ox.ox.ox.o",
            bass="R.R3.35.56.6",
        ),
        Groove(
            kick="X....xx.....",
            backbeat="...X..o..X.o",
            hat="x.xX.xx.xX.x",
            open_hat=".........x..",
            comp="..x..x..x..x",
            bass="R..3..5..6.5",
        ),
        Groove(
            kick="X.x...X.x...",
            backbeat="...X.....X..",
            hat="XxxXxxXxxXxx",
            open_hat="............",
            comp="x.....x.xx..",
            bass="R.R5.5R.R7.5",
        ),
    ),
    fills=("...X..X.xXxx", "...X..xxxXxX"),
    melody_rhythms=("x.xx.x......", "...x.xx.xx..", "xxxx.....x.x", "x.....x.x..x", "..xx..x....."),
    comp_length_steps=1.2,
    melody_repeats=False,
    form=(
        Section("intro", 2, ALL_LAYERS - {"lead"}),
        Section("chorus", 4),
        Section("turnaround", 2, ALL_LAYERS - {"comp"}),
    ),
    titles=("Train", "Crossing", "Porch", "Whiskey", "Levee", "Shuffle", "Morning", "Highway"),
)

_FUNK = Genre(
    name="funk",
    tempo_range_bpm=(94.0, 112.0),
    beats_per_bar=4,
    steps_per_beat=4,
    progressions=(
        parse_progression("I:9", scale="mixolydian"),
        parse_progression("I:m9 I:m9 IV:9 IV:9", scale="dorian"),
        parse_progression("I:9 I:9 I:9 IV:9", scale="minor_pentatonic"),
    ),
    grooves=(
        Groove(
            kick="X..x..x...x..x..",
            backbeat="....X..o.o..X..o",
            hat="x.x.x.x.x.x.x.x.",
            open_hat="................",
            comp="..x..xo..xo..x.o",
            bass="R..R..O...7.R..O",
        ),
        Groove(
            kick="X.x....x..X..x..",
            backbeat="....X..o.o.oX...",
            hat="xoxxxoxxxoxxxoxx",
            open_hat="..............x.",
            comp=".xx..x.x..x..xxo",
            bass="R.R...7O..R..57.",
        ),
        Groove(
            kick="X..x...x.xx.....",
            backbeat="....X.o..o..X.oo",
            hat="x.xxx.xxx.xxx.xx",
            open_hat=".......x........",
            comp="x..x..x.ox..x.o.",
            bass="R.....OR.7.5.7R.",
        ),
    ),
    fills=("....X..x.xx.XxXx", "....X.x.xx.xX.xX"),
    melody_rhythms=("x..x.x..x.......", "..x..xx.x..x....", "x.x...x..xx.....", "....x..xx..x.x.."),
    comp_length_steps=0.7,
    melody_repeats=False,
    form=(
        Section("intro", 2, ALL_LAYERS - {"lead"}),
        Section("verse", 4),
        Section("break", 1, frozenset({"beat", "tops", "bass"})),
        Section("chorus", 4),
    ),
    titles=("Strut", "Pocket", "Groove", "Machine", "Sidewalk", "Brother", "Jam", "Bounce"),
)

_REGGAE = Genre(
    name="reggae",
    tempo_range_bpm=(68.0, 84.0),
    beats_per_bar=4,
    steps_per_beat=4,
    progressions=(
        parse_progression("I:min IV:min", scale="minor"),
        parse_progression("I:maj IV:maj", scale="major"),
        parse_progression("I:min bVII:maj bVI:maj bVII:maj", scale="minor"),
        parse_progression("I:maj VI:min IV:maj V:maj", scale="major"),
    ),
    grooves=(
        Groove(
            kick="........X.......",
            backbeat="........X.......",
            hat="x.xox.xox.xox.xo",
            open_hat="................",
            comp="..X...X...X...X.",
            bass="R..R..5.....3.5.",
        ),
        Groove(
            kick="........X.......",
            backbeat="........X.....o.",
            hat="x.x.x.x.x.x.x.x.",
            open_hat="..............x.",
            comp="..Xo.oXo.oXo.oXo",
            bass="......R.5.R.3.5.",
        ),
        Groove(
            kick="x.......X.......",
            backbeat="........X.......",
            hat="x.x.x.x.x.x.x.x.",
            open_hat="................",
            comp="..X...X...X...X.",
            bass="R...5.R...O.5.3.",
        ),
    ),
    fills=("........X..x.xx.", "........X...xxX."),
    melody_rhythms=("x.....x...x.....", "..x.x...x.......", "x...x...x.x.....", "....x.x.....x..."),
    comp_length_steps=0.45,
    melody_repeats=False,
    form=(
        Section("intro", 1, ALL_LAYERS - {"lead"}),
        Section("verse", 3),
        Section("dub", 1, ALL_LAYERS - {"lead", "bass"}),
        Section("chorus", 4),
    ),
    titles=("Harbour", "Sunday", "Lion", "Rising", "Version", "Yard", "Irie", "Shore"),
)

_TECHNO = Genre(
    name="techno",
    tempo_range_bpm=(122.0, 136.0),
    beats_per_bar=4,
    steps_per_beat=4,
    progressions=(
        parse_progression("I:min", scale="minor"),
        parse_progression("I:m7 I:m7 I:m7 bVI:maj", scale="minor_pentatonic"),
        parse_progression("I:min I:min bII:maj I:min", scale="phrygian"),
    ),
    grooves=(
        Groove(
            kick="X...X...X...X...",
            backbeat="....x.......x...",
            hat="................",
            open_hat="..x...x...x...x.",
            comp="x..x..x...x..x..",
            bass="..R...R...R...R.",
        ),
        Groove(
            kick="X...X...X...X...",
            backbeat="....x.......x...",
            hat="oxoxoxoxoxoxoxox",
            open_hat="..x...x...x...x.",
            comp="...x.....x......",
            bass="..RR..RR..RR..RR",
        ),
        Groove(
            kick="X...X...X...X...",
            backbeat="............x..x",
            hat="x.oxx.oxx.oxx.ox",
            open_hat="..x...x...x...x.",
            comp="......x.....x...",
            bass=".RRR.RRR.RRR.RRR",
        ),
    ),
    fills=("....x.......xxxx", "....x.....x.x.xx"),
    melody_rhythms=("x..x..x..x..x.x.", "x.xx.xx.x.xx.xx.", "xxxxxxxxxxxxxxxx", "..x..x..x..x..x."),
    comp_length_steps=1.0,
    melody_repeats=True,
    form=(
        Section("intro", 2, frozenset({"beat", "tops", "bass"})),
        Section("build", 2, ALL_LAYERS - {"lead"}),
        Section("drop", 4),
        Section("breakdown", 1, frozenset({"tops", "comp", "lead"})),
        Section("drop", 4),
    ),
    titles=("Protocol", "Signal", "Voltage", "Tunnel", "Sequence", "Grid", "Phase", "Concrete"),
)

_WALTZ = Genre(
    name="waltz",
    tempo_range_bpm=(144.0, 184.0),
    beats_per_bar=3,
    steps_per_beat=2,
    progressions=(
        parse_progression("I:maj I:maj V:7 V:7 V:7 V:7 I:maj I:maj", scale="major"),
        parse_progression("I:maj VI:min II:min V:7", scale="major"),
        parse_progression("I:maj I:maj IV:maj IV:maj V:7 V:7 I:maj V:7", scale="major"),
        parse_progression("I:min I:min IV:min IV:min V:7 V:7 I:min I:min", scale="harmonic_minor"),
    ),
    grooves=(
        Groove(kick="X.....", backbeat="..x.x.", hat="..x.x.", open_hat="......", comp="..x.x.", bass="R....."),
        Groove(kick="X.....", backbeat="..x.x.", hat="x.x.x.", open_hat="......", comp="..x.x.", bass="R....."),
        Groove(kick="X.....", backbeat="..x.o.", hat="..x.xo", open_hat="x.....", comp="..x.x.", bass="R...5."),
    ),
    fills=("..x.xx", "..xxx."),
    melody_rhythms=("x...x.", "x.....", "x.x.x.", "x..xx.", "x.xxx."),
    comp_length_steps=1.4,
    melody_repeats=False,
    form=(
        Section("intro", 2, ALL_LAYERS - {"lead"}),
        Section("theme", 8),
        Section("trio", 4, ALL_LAYERS - {"tops"}),
        Section("theme", 8),
    ),
    titles=("Carousel", "Lantern", "Danube", "Ballroom", "Garden", "Promenade", "Snowfall", "Rose"),
)

#: The rules by genre name, in the order of the names.
GENRE_RULES: dict[str, Genre] = {genre.name: genre for genre in (_BLUES, _FUNK, _REGGAE, _TECHNO, _WALTZ)}

#: Names of the genres, sorted.
GENRES: tuple[str, ...] = tuple(sorted(GENRE_RULES))
