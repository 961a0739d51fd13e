"""How batches, counts, files and rejections travel; no step of the path of a row is here."""
