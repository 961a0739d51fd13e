"""What a near-duplicate is: how pairs are proposed, gathered and proved."""

from dataclasses import dataclass, field
from typing import Literal, get_args

#: More edges than one worker works with.
MAX_EDGES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class MinHashParams:
    """Shingles, permutations and bands.

    Two texts whose shingle sets have Jaccard similarity J agree in one value with probability J, in a band of ``rows``
    values with J^rows, and in at least one of ``bands`` bands, which makes them candidates, with

        P(J) = 1 - (1 - J^rows)^bands

    20 bands of 6: P(0.5) = 0.27, P(0.6) = 0.62, P(0.7) = 0.918, P(0.8) = 0.9977, P(0.9) = 1.0000. (16 bands of 8 find
    0.947 at 0.8: too few. The candidates of lower similarity that 20 of 6 find too are paid for in verification.)

    ``shingle_size``: characters of a shingle. ``min_shingles``: texts with fewer distinct shingles are compared
    exactly. ``num_permutations``: values of a signature. ``bands``: bands of a signature; more propose more pairs.
    ``rows``: values of a band; more propose fewer pairs. ``seed``: seed of the permutations.
    """

    shingle_size: int = 5
    min_shingles: int = 32
    num_permutations: int = 128
    bands: int = 20
    rows: int = 6
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("shingle_size", "min_shingles", "num_permutations", "bands", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.bands * self.rows > self.num_permutations:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations, there are "
                f"{self.num_permutations}: raise num_permutations or take fewer bands"
            )

    @property
    def threshold(self) -> float:
        """Where the curve is steepest, about: (1 / bands)^(1 / rows). It lies below the similarity that is wanted."""
        return float((1 / self.bands) ** (1 / self.rows))

    def candidate_probability(self, jaccard: float) -> float:
        """P(J), the probability that two texts of this similarity become candidates."""
        return float(1 - (1 - jaccard**self.rows) ** self.bands)


@dataclass(frozen=True, kw_only=True)
class VerificationParams:
    """When two texts are near-duplicates.

    ``jaccard``: intersection over union of the two sets of shingles, at least. One edit of a single character in a text
    of n distinct shingles of 5 leaves (n - 5) / (n + 5): below 0.8 for n < 45, so that in short texts only edits at the
    ends pass; with fewer than ``MinHashParams.min_shingles`` distinct shingles texts must be equal. ``question_width``:
    a query that comes with positives and takes fewer columns (East Asian characters take two) is a question, and
    questions must be equal: with another word they have another answer, often in the same passage, and yet from 120
    characters on a Jaccard of 0.8 or more. Longer ones must agree in their numbers, and so must positives.
    ``labelled_width``: the same of texts without positives, those of classes: "what is the time difference between here
    and japan" may have another label than "... there", and is another example in any case. 0: none is too short.
    ``family_jaccard``: rows that resemble a representative this much bear witness whether it fills a template.
    ``spare_templates``: whether rows that only fill the same template stay.
    """

    jaccard: float = 0.8
    question_width: int = 200
    labelled_width: int = 200
    family_jaccard: float = 0.6
    spare_templates: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.family_jaccard <= self.jaccard <= 1:
            raise ValueError(
                f"family_jaccard {self.family_jaccard} and jaccard {self.jaccard} must satisfy "
                "0 < family_jaccard <= jaccard <= 1"
            )
        for name in ("question_width", "labelled_width"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, must not be negative")


SurvivalOrder = Literal["published", "entries"]


@dataclass(frozen=True, kw_only=True)
class AgainstParams:
    """With which published rows new ones are compared, and which of two stays.

    ``out``: folders that runs published to, with commas, besides OUT, whose other datasets are always compared with;
    none to compare with nothing, not even with OUT. ``priority``: which of two duplicates stays where one is published,
    always the published one or, by ``entries``, that of the dataset with the lowest priority, and the published one of
    equals.

    What is published is never taken back: where a new row comes first both stay, and the published ones are counted.
    """

    out: str | None = None
    priority: SurvivalOrder = "published"

    def __post_init__(self) -> None:
        if self.priority not in get_args(SurvivalOrder):
            raise ValueError(
                f"priority is {self.priority!r}, must be one of {', '.join(get_args(SurvivalOrder))}: what is "
                "published cannot be taken back, so no row wins by being new"
            )


Components = Literal["auto", "one_worker", "rounds"]

#: Of so many rows ``auto`` counts on one being like another.
_ROWS_PER_CANDIDATE = 5


@dataclass(frozen=True, kw_only=True)
class NearDuplicateParams(VerificationParams):
    """How near-duplicates are proposed, gathered and proved.

    ``minhash``: how pairs are proposed. ``components``: how they are gathered, ``auto``, ``one_worker`` or ``rounds``.
    ``component_rounds``: rounds of large star and small star, where these are taken.

    A row is a leaf of one star for each band at most, so there are no more edges than candidates x bands, and one
    worker labels 50 million (``MAX_EDGES``). ``auto`` counts on one row in five being a candidate: with 20
    bands it leaves 12.5 million rows to one worker (2.5 million fit whatever they hold). Above that it spreads labels
    in ``component_rounds`` rounds, which connect 2^component_rounds rows in a chain. Both give the same labels;
    ``one_worker`` is quicker where there are few candidates, ``rounds`` holds where nearly all rows are.
    """

    minhash: MinHashParams = field(default_factory=MinHashParams)
    components: Components = "auto"
    component_rounds: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.components not in get_args(Components):
            raise ValueError(f"components is {self.components!r}, must be one of {', '.join(get_args(Components))}")
        if self.component_rounds < 1:
            raise ValueError(f"component_rounds is {self.component_rounds}, must be at least 1")
        chance = self.minhash.candidate_probability(self.jaccard)
        if chance < 0.5:
            raise ValueError(
                f"{self.minhash.bands} bands of {self.minhash.rows} rows propose only {chance:.0%} of the pairs at "
                f"jaccard {self.jaccard}: take more bands or fewer rows per band"
            )

    def in_rounds(self, rows: int) -> bool:
        """Whether components of at most so many rows are found in rounds."""
        edges = rows * self.minhash.bands // _ROWS_PER_CANDIDATE
        return self.components == "rounds" or (self.components == "auto" and edges > MAX_EDGES)
