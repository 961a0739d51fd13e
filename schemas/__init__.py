"""Floor 0: what a row, a shard, a manifest and a catalog entry is. Imports no engine (no Beam, torch or FAISS)."""
