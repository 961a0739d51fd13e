"""``python -m pipelines VERB``, where the script ``kalm`` is not on the path."""

from pipelines.command import run

run()
