"""The whole path, real in every step: files are read, rows are embedded by a real (tiny) teacher, shards are opened."""
