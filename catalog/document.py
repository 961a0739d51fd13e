"""The catalog as a Markdown document, generated so that it cannot differ from the entries."""

from collections.abc import Iterable, Sequence

from schemas.catalog import LocatedEntry, Stage

COLUMNS = ("dataset", "task type", "languages", "licence", "rows", "adapter", "source", "evidence")
_EXTRA = "catalog/extra/"
_LANGUAGES_SHOWN = 4
_HEAD = """\
# Catalog

What `make curate` knows, one YAML entry each. This page is made from the entries by
`make catalog ARGS=--write=docs/catalog.md`; `make catalog` alone prints the same table, of what `CATEGORY`,
`LICENSES` and `LANGUAGES` choose.

`CATALOG=mine` adds entries of your own, or puts them in the place of ours of the same name: every `*.yaml` file below
`mine` is one ([how](../CONTRIBUTING.md#adding-a-dataset)), but for those in `mine/evaluation`, which describe
[evaluation sets](evaluation.md#the-catalog).

- **licence**: its class, which `LICENSES` takes (`permissive`, `noncommercial`, `other`, `unknown`), and the words that
  were found. A class is our reading, not advice; `unknown` means that no licence was seen, not that there is none.
- **rows**: of the split that is read, where upstream's number is known. Many entries have a cap below it, or name some
  of many configurations; the entry's note says so.
- **evidence**: `verified`, place and columns were seen in public code or cards; `strong`, they are implied there;
  `inferred`, they are the likely reading. None was tried against the live hub. A wrong one ends a run with an error
  that names the entry's line.
- **source**: the dataset of the hub, or how else it is had; see [below](#more-than-a-download).
"""


def document(located: Sequence[LocatedEntry]) -> str:
    """The whole page for these entries."""
    own = [each for each in located if not each.file.startswith(_EXTRA)]
    groups = {
        "Pre-training": [each for each in own if each.entry.stage is Stage.PRETRAIN],
        "Fine-tuning": [each for each in own if each.entry.stage is Stage.FINETUNE],
        "Beside the paper's catalog": [each for each in located if each.file.startswith(_EXTRA)],
    }
    tables = [f"## {title}\n\n{_datasets(len(group))}.\n\n{_table(group)}" for title, group in groups.items() if group]
    hard = [each for each in located if each.entry.source.obtain or each.entry.source.substitute]
    return "\n".join([_HEAD, *tables, *([_hard(hard)] if hard else [])])


def _table(group: Iterable[LocatedEntry]) -> str:
    lines = [_line(COLUMNS), _line(["---", "---", "---", "---", "---:", "---", "---", "---"])]
    return "".join([*lines, *(_line(_cells(each)) for each in group)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _cells(located: LocatedEntry) -> list[str]:
    entry = located.entry
    licence = f"{entry.licence_class}: {entry.licence}" if entry.licence else entry.licence_class
    return [
        _link(located),
        entry.task_type.value,
        _languages(entry.languages),
        licence,
        f"{entry.rows:,}" if entry.rows else "",
        entry.adapter.value,
        f"`{entry.source.hub}`" if entry.source.hub else entry.source.access,
        entry.evidence,
    ]


def _link(located: LocatedEntry) -> str:
    return f"[{located.entry.name}](../{located.file})"


def _languages(languages: Sequence[str]) -> str:
    more = len(languages) - _LANGUAGES_SHOWN
    shown = ", ".join(languages[:_LANGUAGES_SHOWN])
    return f"{shown} and {more} more" if more > 1 else ", ".join(languages)


def _hard(hard: Iterable[LocatedEntry]) -> str:
    intro = "`<SOURCE>` is a directory in [hub layout](sources.md#hub-layout) that you give as `SOURCE`.\n\n"
    return f"## More than a download\n\n{intro}" + "".join(map(_item, hard))


def _item(located: LocatedEntry) -> str:
    source = located.entry.source
    says = [f"{word}: {text}." for word, text in (("How", source.obtain), ("Instead", source.substitute)) if text]
    return f"- {_link(located)} ({source.access}). {' '.join(says)}\n".replace("<", r"\<")


def _datasets(number: int) -> str:
    return f"{number} dataset{'' if number == 1 else 's'}"
