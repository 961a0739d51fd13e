"""A manifest becomes a model: shards in, a sentence-transformers folder out. Imports no Beam."""
