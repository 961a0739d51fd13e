"""What the parsers of verbs have in common."""

import argparse


def verb_parser(verb: str, description: str | None) -> argparse.ArgumentParser:
    """A parser of ``kalm VERB``; a description of several lines is shown as it stands."""
    as_it_stands = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(
        prog=f"kalm {verb}",
        description=description,
        allow_abbrev=False,
        formatter_class=as_it_stands if description and "\n" in description else argparse.HelpFormatter,
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Let a verb be given the OUT that it is about."""
    parser.add_argument("out", nargs="?", default="out", help="the folder that a run was given as OUT (default: out)")
