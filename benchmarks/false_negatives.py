"""How many false negatives each preset of mining gives on judged collections, and how hard its negatives are.

    python -m benchmarks.false_negatives --evaluation=DIR [--sets=cacm,...] [--write=docs/measured.md]

Each judgment of a collection makes a row with one positive; what else is judged relevant to its question is hidden from
mining. A mined negative that is judged relevant, or an edited copy of the positive, is a false one. Beside them stands
the hardness that a preset buys: the mean score of mined negatives over that of positives.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks._judged import Found, judged_rows, mine_judged, vectors_of
from benchmarks._report import fill, machine, table, versions
from mining.encoder import load_encoder
from mining.teacher import TeacherParams
from pipelines.configuration.layers import load
from schemas.errors import CurationError
from trainer.evaluation_sets import Retrieval, find_collections

SETS, TOP, DEFAULT = "cacm,vaswani,scifact,cosqa", "top", "default"
PRESETS: Mapping[str, str | None] = {TOP: TOP, "nv-retriever": "nv-retriever", DEFAULT: None} | {
    name: name for name in ("kalm", "strict")
}
HEADER = (
    "collection",
    "preset",
    "rows kept",
    "negatives",
    "judged relevant",
    "per 1,000",
    "copies of the positive",
    "hardness",
    "rows short",
    "rows with none",
)


def measure(collection: Retrieval, arguments: argparse.Namespace) -> dict[str, Found]:
    """What each preset makes of a collection."""
    encoder = load_encoder(arguments.teacher, TeacherParams(max_tokens=arguments.max_tokens, backend=arguments.backend))
    prompts = (encoder.teacher.prompt_for_query(), encoder.teacher.prompt_for_passage())
    queries, passages = (
        vectors_of(encoder, list(texts), prompt, arguments.vectors)
        for texts, prompt in zip((collection.queries, collection.passages), prompts, strict=True)
    )
    found = {}
    for name, preset in PRESETS.items():
        config = load(preset, [], {}).config
        found[name] = mine_judged(judged_rows(collection, queries, passages, config.near), config.mining)
        print(f"{collection.name}: {name}: {found[name].judged} judged relevant", file=sys.stderr, flush=True)
    return found


def lines_of(name: str, found: Mapping[str, Found]) -> Iterator[tuple[str, ...]]:
    """The lines of a collection."""
    for preset, told in found.items():
        counts, mined = told.counts, told.counts.get("mined", 0)
        hardness = share(counts.get("negative_score", 0), mined) / share(counts["positive_score"], counts["rows"])
        yield (
            name,
            f"**{preset}**" if preset == DEFAULT else f"`{preset}`",
            f"{counts['rows']:,}",
            f"{mined:,}",
            f"{told.judged:,}",
            f"{1000 * share(told.judged, mined):.1f}",
            f"{told.copies:,}",
            f"{hardness:.2f}",
            f"{counts.get('short', 0):,}",
            f"{counts.get('none', 0):,}",
        )


def share(part: float, whole: float) -> float:
    """Part of a whole, 0 of nothing."""
    return part / whole if whole else 0.0


def broken(found: Mapping[str, Mapping[str, Found]]) -> list[str]:
    """What does not hold of the default: at most half of ``top``'s share of false negatives, and no copy at all."""
    rates = {
        name: {preset: share(told.judged, told.counts.get("mined", 0)) for preset, told in presets.items()}
        for name, presets in found.items()
    }
    half = [f"{name}: more than half of {TOP}'s" for name, rate in rates.items() if 2 * rate[DEFAULT] > rate[TOP]]
    return half + [f"{name}: copies of a positive" for name, presets in found.items() if presets[DEFAULT].copies]


def build_parser() -> argparse.ArgumentParser:
    """The parser behind ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.false_negatives", description=__doc__, allow_abbrev=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--evaluation", type=Path, required=True, help="folder of judged collections")
    parser.add_argument("--sets", default=SETS, help=f"names of collections (default: {SETS})")
    parser.add_argument("--teacher", default="minilm", help="teacher (default: minilm)")
    parser.add_argument("--max_tokens", type=int, default=128, help="tokens of a text that are read (default: 128)")
    parser.add_argument("--backend", choices=("torch", "openvino"), default="torch", help="what runs the teacher")
    parser.add_argument("--vectors", type=Path, help="folder that keeps vectors for the next time")
    parser.add_argument("--write", type=Path, help="document whose block bench:false-negatives is filled")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 1 where the default does not keep what is said of it."""
    arguments = build_parser().parse_args(argv)
    facts, found = machine(), {}
    try:
        for collection in find_collections([arguments.evaluation / name for name in arguments.sets.split(",")]):
            if isinstance(collection, Retrieval):
                found[collection.name] = measure(collection, arguments)
    except CurationError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    told = broken(found)
    notes = [
        f"`python -m benchmarks.false_negatives --evaluation=DIR --sets={arguments.sets} "
        f"--teacher={arguments.teacher} --max_tokens={arguments.max_tokens} --backend={arguments.backend}`",
        facts,
        versions(("numba", "numpy", "sentence-transformers", "torch", "openvino")),
        f"The default has at most half of `{TOP}`'s share of false negatives and no copy of a positive"
        + (f", BUT NOT ON: {'; '.join(told)}." if told else ", on each of them."),
    ]
    lines = [line for name, presets in found.items() for line in lines_of(name, presets)]
    text = table(HEADER, lines) + "\n\n" + "\n".join(f"- {note}" for note in notes)
    print(text)
    if arguments.write:
        fill(arguments.write, "false-negatives", text)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
