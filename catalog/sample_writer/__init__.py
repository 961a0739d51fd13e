"""Writes the bundled sample: the project's own text in the column layouts of the catalog's upstreams.

``kalm sample`` writes ``catalog/sample`` and ``tests/data/planted.json`` anew; the rows are the
same on every machine, because every choice is drawn from a generator seeded by the entry's name.
"""
