"""Everything that needs embeddings: the encoder, the index, the choice of negatives. Only `mining.beam` knows Beam."""
