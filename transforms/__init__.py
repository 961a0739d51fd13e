"""Everything that can be said without a model: read, normalise, filter, deduplicate, decontaminate, label, write."""
