"""The difference of two runs as one HTML file: opens anywhere, asks no server for anything, runs no script at all."""

from collections.abc import Iterable, Iterator
from html import escape

from pipelines.reports.difference import Change, Difference
from pipelines.reports.report import policy_digest, style

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{digest}'; img-src data:; \
base-uri 'none'; form-action 'none'">
<meta name="generator" content="kalm diff">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>What differs between two runs</title>
<style>{style}</style>
</head>
<body>
"""


def difference_page(found: Difference, left: str, right: str) -> bytes:
    """The page of a difference; ``left``, ``right``: what the two runs are called. Every text is escaped.

    Equal differences give equal bytes.
    """
    css = style()
    return "".join([_HEAD.format(digest=policy_digest(css), style=css), *_body(found, left, right)]).encode()


def _body(found: Difference, left: str, right: str) -> Iterator[str]:
    yield f"<header><h1>What differs from {escape(left)} to {escape(right)}</h1>"
    yield f"<p>{found.same:,} datasets are the same to the byte, {len(found.changed):,} differ.</p></header>\n<main>\n"
    for names, where in ((found.left, "first"), (found.right, "second")):
        if names:
            yield _section(f"{where}-only", f"Only in the {where}", _list(names))
    if found.why:
        yield _section("all", "Differs for all", _list(found.why))
    if found.changed:
        yield _section("datasets", "Datasets that differ", _table(found.changed))
        yield "".join(_dataset(number, change, found.why) for number, change in enumerate(found.changed))
    yield "</main>\n</body>\n</html>\n"


def _section(name: str, title: str, inner: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>\n{inner}</section>\n'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>\n"


def _table(changes: Iterable[Change]) -> str:
    """Each dataset with its first difference, a link to the rest."""
    rows = "".join(
        f'<tr><th scope="row"><a href="#dataset-{number}">{escape(change.dataset)}</a></th>'
        f"<td>{escape(change.what[0])}</td><td>{escape(change.why[0])}</td></tr>\n"
        for number, change in enumerate(changes)
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("dataset", "first difference", "first cause"))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="datasets that differ"><table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )


def _dataset(number: int, change: Change, of_all: Iterable[str]) -> str:
    own = [line for line in change.why if line not in of_all]
    told = _list(own) if own else '<p class="detail">What differs for all.</p>\n'
    inner = f"{_list(change.what)}<h3>Because of</h3>\n{told}"
    return _section(f"dataset-{number}", change.dataset, f"<article>{inner}</article>\n")
