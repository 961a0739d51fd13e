"""Alarms in words: what happened, what a person is asked to look at, and the table of all alarms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from schemas.manifest import AlarmRecord
from schemas.reasons import RejectReason, words_of
from transforms.keeping.alarms import FATAL, OF_EXAMPLES, UNREADABLE, AlarmError, AlarmKind
from transforms.keeping.params import AlarmParams

EMPTY_SOURCE = "the files, which hold no row at all: an empty download, or another split than was meant (`source`)"
ELSE = "the rejected rows: the reason's detail says what decided, docs/adapters.md what it means"

#: What a person is asked to look at, by the reason that took most.
LOOK_AT: Mapping[RejectReason, str] = {
    RejectReason.MALFORMED_ROW: "the format: another delimiter or quoting than the entry says, a cut or wrapped file, "
    "or an encoding such as UTF-16",
    RejectReason.INVALID_UTF8: "the encoding of the files, which is not UTF-8: state it in the entry, or convert them",
    RejectReason.WRONG_TYPE: "`columns` of the entry: a column holds another kind of value than the adapter wants",
    RejectReason.EMPTY_QUERY: "`columns` of the entry: the query is mapped to a column that is mostly empty",
    RejectReason.EMPTY_POSITIVE: "`columns` of the entry: the positive is mapped to a column that is mostly empty",
    RejectReason.NO_LEAD: "whether the texts begin with a title or a sentence at all; else map a query column",
    RejectReason.UNANSWERABLE: "the column of answers: it may be hidden in this split",
    RejectReason.ANSWER_NOT_IN_CONTEXT: "the columns of context and answers: one of another split, or the wrong one",
    RejectReason.TIE: "the column of scores: it may be constant, or hidden in this split",
    RejectReason.NO_POSITIVE: "`positive_label`, `positive_grades` or `min_score` of the entry: hardly a row counts "
    "as a positive. Under LIMIT: groups are cut apart; read more rows",
    RejectReason.NEUTRAL: "the names of the labels and their order: classes may be swapped",
    RejectReason.UNLABELLED: "the split: labels are hidden (-1) in most test splits; or the column of labels",
    RejectReason.BELOW_THRESHOLD: "`positive_min` and `negative_max` of the entry against the range of the scores",
    RejectReason.UNUSED_GRADE: "`positive_grades` and `negative_grades` of the entry against the grades that occur",
    RejectReason.DANGLING_ID: "the ids on both sides: another form (a prefix, a decimal point, leading zeros), or "
    "judgments of another revision or split than corpus and queries",
    RejectReason.LOW_QUALITY: "`min_quality` of the entry against the range of the scores",
    RejectReason.NO_TURN: "how the dialogue is written: its speaker tags or keys may be unknown to the adapter",
    RejectReason.TOO_SHORT: "whether the right column is mapped; then the minimum lengths in `clean.filters`",
    RejectReason.TOO_LONG: "whether the right column is mapped; then the maximum lengths in `clean.filters`",
    RejectReason.REPETITIVE: "the texts: filler, markup or decoding gone wrong; then `clean.filters`",
    RejectReason.QUERY_IS_POSITIVE: "`columns` of the entry: query and positive are mapped to the same column",
    RejectReason.WRONG_LANGUAGE: "`languages` of the entry: the texts are in another language than it declares",
    RejectReason.CONFLICTING_LABEL: "the labels: the same texts have several, so the column may hold votes",
    RejectReason.EXACT_DUPLICATE: "`compare` and `columns` of the entry: a column that repeats is compared; or the "
    "dataset holds its rows several times",
    RejectReason.NEAR_DUPLICATE: "`near` and `compare`: texts that fill one template may be told apart by a short part",
    RejectReason.PUBLISHED_DUPLICATE: "what it was compared with (`against`): its rows, or a version of them, are "
    "published there already",
    RejectReason.LEAKED_EVALUATION: "the evaluation sets: this dataset may be one of them, or hold one whole",
    RejectReason.UNREADABLE_TEXT: "the teacher: its vocabulary may lack a script or the unknown token",
    RejectReason.INCONSISTENT: "the teacher: it may not know this language (`teacher_languages`), or queries and "
    "positives are swapped",
    RejectReason.LONELY_LABEL: "the column of labels: nearly every text has one of its own, as an id would. Under "
    "LIMIT: classes are cut apart; read more rows",
}


class MinedWords(NamedTuple):
    """What an alarm of mining says of rows, and what a person is asked to look at."""

    what: str
    look_at: str


MINED: Mapping[AlarmKind, MinedWords] = {
    AlarmKind.NO_NEGATIVES: MinedWords(
        "rows have no negative",
        "the size of the corpus and `mining`: hardly a passage is no positive of its query, or below its ceilings",
    ),
    AlarmKind.SHORT: MinedWords(
        "rows have fewer negatives than asked for",
        "the size of the corpus, and `mining.num_negatives`, `max_relative_score` and `within_language`",
    ),
    AlarmKind.FILLED: MinedWords(
        "rows have random negatives, for want of mined ones",
        "the size of the corpus, and `mining.num_negatives`, `max_relative_score` and `within_language`: random "
        "negatives are easy ones",
    ),
    AlarmKind.DOUBTFUL_LABELS: MinedWords(
        "labelled rows have only texts of other labels near them",
        "the labels: they may be noisy, or the teacher may not tell these classes apart",
    ),
    AlarmKind.ALIKE_LABELS: MinedWords(
        "rows have a label that another one equals but for case, width or spaces",
        "the labels named: `mining.fold_labels` takes them for one",
    ),
}


def alarm_line(name: str, alarm: AlarmRecord) -> str:
    """An alarm in one line: ``mine lost 3 of 5 examples (60%) to EXACT_DUPLICATE (duplicate)``."""
    share = f"{alarm.rows:,} of {alarm.of:,}"
    percent = f"({alarm.rows / alarm.of:.0%})" if alarm.of else ""
    if alarm.alarm == AlarmKind.NOTHING_KEPT:
        most = f"; most went to {alarm.reason} ({words_of(alarm.reason)})" if alarm.reason else ""
        return f"{name} keeps none of {alarm.of:,} rows after {alarm.stage}{most}"
    if alarm.alarm == AlarmKind.UNREADABLE:
        return f"{name}: {share} rows {percent} cannot be read; most are {alarm.reason} ({words_of(alarm.reason)})"
    if alarm.alarm == AlarmKind.DANGLING:
        return f"{name}: {share} judgments {percent} name a query or a passage that is not in the source"
    if alarm.alarm in MINED:
        return f"{name}: {share} {MINED[AlarmKind(alarm.alarm)].what} {percent}"
    unit = "examples" if alarm.reason in OF_EXAMPLES else "rows"
    return f"{name} lost {share} {unit} {percent} to {alarm.reason} ({words_of(alarm.reason)})"


def advice(alarm: AlarmRecord) -> str:
    """What an alarm asks a person to look at, with the likely cause first."""
    if alarm.alarm in MINED:
        return MINED[AlarmKind(alarm.alarm)].look_at
    if alarm.reason is None:
        return EMPTY_SOURCE
    return LOOK_AT[RejectReason(alarm.reason)] if alarm.reason in LOOK_AT else ELSE


def alarm_lines(alarms: Mapping[str, Sequence[AlarmRecord]], most: int) -> list[str]:
    """Two or three lines for each alarm: what happened, what to look at, and one of its rows; ``most`` alarms."""
    told = [(name, alarm) for name, found in alarms.items() for alarm in found]
    lines = []
    for name, alarm in told[:most]:
        lines += [alarm_line(name, alarm), f"  look at: {advice(alarm)}"]
        if alarm.example:
            lines.append(f"  for example {alarm.example}")
    if len(told) > most:
        others = sorted({name for name, _ in told[most:]})
        lines.append(f"and {len(told) - most} more alarms: {', '.join(others[:20])}{', ...' if others[20:] else ''}")
    return lines


def check_alarms(
    alarms: Mapping[str, Sequence[AlarmRecord]], datasets: int, where: str, *, allowed: bool, most: int = 10
) -> None:
    """Raises AlarmError where there are alarms and they were not allowed; ``where``: folder of the rejected rows."""
    alarms = {name: fatal for name, found in alarms.items() if (fatal := [a for a in found if a.alarm in FATAL])}
    if not alarms or allowed:
        return
    empty = sum(alarm.alarm == AlarmKind.NOTHING_KEPT for found in alarms.values() for alarm in found)
    nothing = ["The run keeps no row at all."] if empty == datasets else []
    remedy = (
        f"Nothing was published. Look at the rejected rows in {where}/<dataset>/. If the losses are right, run again "
        "with --allow_alarms (make: ARGS=--allow_alarms), or state in the configuration file, under `alarms`, what is "
        "alarming"
    )
    raise AlarmError("\n".join([*nothing, *alarm_lines(alarms, most), remedy]))


def alarm_table() -> str:
    """What raises an alarm and what it asks to look at, as the Markdown table of ``docs/pipelines.md``."""
    params = AlarmParams()
    rows = [
        (f"`{AlarmKind.NOTHING_KEPT}`", "a dataset keeps no row after prepare, or after mine", "see its worst reason"),
        (f"`{AlarmKind.NOTHING_KEPT}`", "a dataset has no row to begin with", EMPTY_SOURCE),
        *_unreadable_rows(params),
        (f"`{AlarmKind.DANGLING}`", f"over {params.dangling:.0%} of the judgments", LOOK_AT[RejectReason.DANGLING_ID]),
        *_reason_rows(params),
        *_mined_rows(params),
    ]
    header = ("| alarm | raised when | look at |", "|---|---|---|")
    return "\n".join([*header, *(f"| {' | '.join(row)} |" for row in rows)])


def _mined_rows(params: AlarmParams) -> Iterator[tuple[str, str, str]]:
    shares = {
        AlarmKind.NO_NEGATIVES: params.no_negatives,
        AlarmKind.SHORT: params.short,
        AlarmKind.FILLED: params.filled,
        AlarmKind.DOUBTFUL_LABELS: params.doubtful_labels,
    }
    for kind, words in MINED.items():
        share = f"over {shares[kind]:.0%} of them: " if kind in shares else ""
        yield f"`{kind}` (told, stops nothing)", f"{share}{words.what}", words.look_at


def _unreadable_rows(params: AlarmParams) -> Iterator[tuple[str, str, str]]:
    for reason in UNREADABLE:
        when = f"over {params.unreadable:.0%} of the rows cannot be read, most of them `{reason}`"
        yield f"`{AlarmKind.UNREADABLE}`", when, LOOK_AT[reason]


def _reason_rows(params: AlarmParams) -> Iterator[tuple[str, str, str]]:
    for reason in RejectReason:
        if reason in UNREADABLE or reason in (RejectReason.DANGLING_ID, RejectReason.CAPPED):
            continue
        unit = "examples" if reason in OF_EXAMPLES else "rows"
        when = f"over {params.share_of(reason):.0%} of the {unit}: `{reason}`"
        yield f"`{AlarmKind.LOST}`", when, LOOK_AT.get(reason, ELSE)
