"""Adapters: from a source's rows to examples. One source row gives at most one example, and none is lost.

Which columns and options each kind knows stands in ``schemas.catalog``; what they mean, in ``docs/adapters.md``.
"""

from collections.abc import Callable

import pyarrow as pa

from schemas.catalog import Adapter, LocatedEntry
from transforms.cleaning.normalise import normalise_texts
from transforms.examples.adapters.adapted import Adapted
from transforms.examples.adapters.answers import adapt_qa_context, adapt_qa_multi
from transforms.examples.adapters.beir import adapt_beir, ids_of
from transforms.examples.adapters.dialogues import adapt_dialogue
from transforms.examples.adapters.judged import adapt_graded, adapt_nli, adapt_scored_pair
from transforms.examples.adapters.labelled import adapt_choice, adapt_labeled
from transforms.examples.adapters.pairs import adapt_bitext, adapt_pair, adapt_triplet
from transforms.examples.adapters.source import Source, read_options, source_columns
from transforms.sources.readers.raw import RawBatch
from transforms.sources.units import Unit

__all__ = ["GROUPED_BY", "Adapted", "adapt", "limit_keys", "read_options", "source_columns"]

#: Adapters that make one example of several rows, and the column whose text such rows have in common.
GROUPED_BY: dict[Adapter, str] = {Adapter.NLI: "premise", Adapter.SCORED_PAIR: "text_a", Adapter.GRADED: "query"}

_ADAPTERS: dict[Adapter, Callable[[Source], Adapted]] = {
    Adapter.PAIR: adapt_pair,
    Adapter.TRIPLET: adapt_triplet,
    Adapter.QA_CONTEXT: adapt_qa_context,
    Adapter.QA_MULTI: adapt_qa_multi,
    Adapter.NLI: adapt_nli,
    Adapter.SCORED_PAIR: adapt_scored_pair,
    Adapter.GRADED: adapt_graded,
    Adapter.CHOICE: adapt_choice,
    Adapter.LABELED: adapt_labeled,
    Adapter.BEIR: adapt_beir,
    Adapter.BITEXT: adapt_bitext,
    Adapter.DIALOGUE: adapt_dialogue,
}


#: The ids by which LIMIT chooses among the rows of a ``beir`` role.
LIMITED_BY = {"qrels": "query_id", "corpus": "id"}


def adapt(located: LocatedEntry, unit: Unit, raw: RawBatch) -> Adapted:
    """What a batch of a unit's rows becomes under its entry; the rows that the reader found broken are rejected.

    Raises CatalogError, with the file and the line of the catalog, where the entry does not fit the source's columns.
    """
    source = Source(located=located, unit=unit, rows=raw.rows, numbers=raw.numbers)
    return _ADAPTERS[located.entry.adapter](source).with_broken(raw.broken, unit)


def limit_keys(located: LocatedEntry, unit: Unit, raw: RawBatch) -> pa.StringArray | None:
    """For each well-formed row what LIMIT chooses it by, in the form in which rows meet: the id of a passage or of a
    judged query, or the text that rows of a group have in common; None where each row is chosen by all it says.
    """
    source = Source(located=located, unit=unit, rows=raw.rows, numbers=raw.numbers)
    if unit.role in LIMITED_BY:
        return ids_of(source, unit.role, LIMITED_BY[unit.role])
    key = GROUPED_BY.get(located.entry.adapter)
    return None if key is None else normalise_texts(source.text(key))
