"""Writes ``catalog/evaluation/``: the benchmarks of mteb as sets of the catalog, from mteb's own metadata.

    python -m catalog.evaluation_writer [--check]

Needs mteb (2.26), which nothing else here does: run it with a Python that has mteb beside this project. What a task's
own loading code does to its data, and no metadata say, stands in ``ROWS`` and ``SPLITS``.
"""

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("evaluation")
#: The file's name, and mteb's. A set that several name is described in the first.
BENCHMARKS = {
    "mteb-english-v2": "MTEB(eng, v2)",
    "mteb-english-v1": "MTEB(eng, v1)",
    "mteb-multilingual": "MTEB(Multilingual, v2)",
    "mteb-chinese": "MTEB(cmn, v1)",
    "mteb-code": "MTEB(Code, v1)",
    "beir": "BEIR",
    "nanobeir": "NanoBEIR",
    "rteb": "RTEB(beta)",
    "longembed": "LongEmbed",
}
#: Columns, and configurations where they are not the task's subsets, as the files have them.
ROWS: Mapping[str, tuple[Sequence[str], Sequence[str] | None]] = {
    **dict.fromkeys(("SprintDuplicateQuestions", "TwitterSemEval2015", "TwitterURLCorpus"), (("sent1", "sent2"), None)),
    **dict.fromkeys(("Ocnli", "Cmnli"), (("sent1", "sent2"), None)),
    **dict.fromkeys(("FloresBitextMining", "IN22GenBitextMining"), (("sentence_*",), ())),
    "XNLI": (("premise", "hypothesis"), None),
    "SIB200ClusteringS2S": (("text",), None),
    "NTREXBitextMining": (("???_*",), ()),
    "BibleNLPBitextMining": (("???",), ("*-*",)),
    "BelebeleRetrieval": (("question",), ("*",)),
    "CodeEditSearchRetrieval": (("instruction",), None),
    "CUREv1": (("text",), ("queries-*",)),
    "LEMBNarrativeQARetrieval": (("text",), ("narrativeqa",)),
    "LEMBNeedleRetrieval": (("text",), ("needle",)),
    "LEMBQMSumRetrieval": (("text",), ("qmsum",)),
    "LEMBSummScreenFDRetrieval": (("text",), ("summ_screen_fd",)),
    "LEMBWikimQARetrieval": (("text",), ("2wikimqa",)),
}
#: Splits that a task reads other than those that it scores under.
SPLITS = {
    "SIB200ClusteringS2S": ("train", "validation", "test"),
    **dict.fromkeys((name for name in ROWS if name.startswith("LEMB")), ("queries",)),
}
_WITH_QUERIES = ("Retrieval", "Reranking", "InstructionReranking")
_WIDTH = 120
#: More subsets than these are written as a glob.
_MANY = 40


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


#: ISO 639-3 as ISO 639-1, where a language has such a code.
_TWO_LETTERS = _pairs(
    "aar:aa afr:af aka:ak amh:am ara:ar asm:as ava:av aym:ay aze:az bak:ba bel:be ben:bn bod:bo bos:bs bre:br"
    " bul:bg cat:ca ces:cs che:ce chv:cv cmn:zh cor:kw cos:co cym:cy dan:da deu:de div:dv dzo:dz ekk:et ell:el"
    " eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff gla:gd gle:ga glg:gl"
    " grn:gn guj:gu hat:ht hau:ha heb:he hin:hi hrv:hr hun:hu hye:hy ibo:ig ido:io ile:ie ina:ia ind:id isl:is"
    " ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kaz:kk khm:km kik:ki kin:rw kir:ky kor:ko kur:ku lao:lo"
    " lat:la lav:lv lim:li lin:ln lit:lt ltz:lb lug:lg mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms"
    " mya:my nep:ne nld:nl nno:nn nob:nb nor:no nya:ny oci:oc ori:or orm:om pan:pa pol:pl por:pt pus:ps que:qu"
    " roh:rm ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so sot:st"
    " spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tir:ti"
    " ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi wol:wo xho:xh yid:yi"
    " yor:yo zho:zh zul:zu"
)


def tasks_of(title: str) -> Iterator[Any]:
    """The tasks of a benchmark of mteb; one that stands for several gives these."""
    for task in import_module("mteb").get_benchmark(title).tasks:
        yield from getattr(task, "tasks", None) or [task]


def described(task: Any, subsets: Sequence[str], splits: Sequence[str]) -> dict[str, Any]:
    """A task as a set of the catalog, with the subsets and splits that any benchmark scores."""
    metadata = task.metadata
    columns, configs = _rows_of(task, subsets)
    languages = {code for subset in subsets for code in _languages(metadata, subset)}
    found = {
        "name": metadata.name,
        "hub": metadata.dataset["path"],
        "revision": metadata.dataset["revision"],
        "type": metadata.type,
        "splits": SPLITS.get(metadata.name, tuple(splits)),
        "languages": sorted(languages),
        "subsets": not columns and subsets != ["default"],
        "columns": columns,
        "configs": [] if configs == ["default"] else configs,
    }
    return {key: value for key, value in found.items() if value not in (False, [], ())}


def _rows_of(task: Any, subsets: Sequence[str]) -> tuple[list[str], list[str]]:
    """Columns and configurations of a task whose rows hold what is scored; none where it has queries."""
    kind = task.metadata.type
    if task.metadata.name in ROWS:
        columns, configs = ROWS[task.metadata.name]
        return list(columns), list(subsets if configs is None else configs)
    if kind in _WITH_QUERIES:
        return [], []
    merged = getattr(task, "fast_loading", False)
    return list(_columns(task, kind)), [] if merged else ["*"] if len(subsets) > _MANY else list(subsets)


def _columns(task: Any, kind: str) -> Sequence[str]:
    if kind == "STS":
        return tuple(task.column_names)
    if kind == "PairClassification":
        return task.input1_column_name, task.input2_column_name
    if kind == "BitextMining":
        return "sentence1", "sentence2"
    if kind == "Summarization":
        return task.machine_summaries_column_name, task.human_summaries_column_name
    return (str(task.input_column_name),)


def _languages(metadata: Any, subset: str) -> Iterator[str]:
    spoken = metadata.eval_langs
    for tag in spoken[subset] if isinstance(spoken, Mapping) else spoken:
        code, _, script = tag.partition("-")
        yield "code" if script == "Code" else _TWO_LETTERS.get(code, code)


def documents() -> dict[str, str]:
    """The text of each file, by its name."""
    scored: dict[str, tuple[Any, dict[str, None], dict[str, None]]] = {}
    members: dict[str, list[str]] = {}
    for file, title in BENCHMARKS.items():
        for task in tasks_of(title):
            known = scored.setdefault(task.metadata.name, (task, {}, {}))
            known[1].update(dict.fromkeys(task.hf_subsets or ["default"]))
            known[2].update(dict.fromkeys(task.eval_splits))
            members.setdefault(file, []).append(task.metadata.name)
    texts, done = {}, set[str]()
    for file, names in members.items():
        own = sorted(set(names) - done, key=str.lower)
        shared = sorted(set(names) & done, key=str.lower)
        sets = [described(task, list(subsets), list(splits)) for task, subsets, splits in map(scored.__getitem__, own)]
        texts[f"{file}.yaml"] = document(file, BENCHMARKS[file], sets, shared)
        done |= set(names)
    return texts


def document(name: str, title: str, sets: Sequence[Mapping[str, Any]], shared: Sequence[str]) -> str:
    """A benchmark as YAML."""
    lines = [f"benchmark: {name}", f"title: {title}", *(["sets:"] if sets else [])]
    for described_set in sets:
        for number, (key, value) in enumerate(described_set.items()):
            lines += _lines("    " if number else "  - ", key, value)
    if shared:
        lines += _lines("", "shared", shared)
    return "\n".join(lines) + "\n"


def _lines(indent: str, key: str, value: Any) -> list[str]:
    """A key with its value; a list in as many lines as it needs."""
    if not isinstance(value, list | tuple):
        return [f"{indent}{key}: {'true' if value is True else value}"]
    text = f"{key}: [{', '.join(map(_quoted, value))}]"
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=" " * (len(indent) + 2))


def _quoted(value: str) -> str:
    is_plain = value.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return (
        value
        if is_plain and value.lower() not in ("no", "yes", "on", "off") and not value[0].isdigit()
        else f'"{value}"'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with ``--check`` name those that differ; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m catalog.evaluation_writer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file would change")
    check, differing = parser.parse_args(argv).check, []
    for name, text in documents().items():
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        differing.append(name)
        if not check:
            path.write_text(text, "utf-8")
    print(f"{'differ' if check else 'written'}: {', '.join(differing) or 'none'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
