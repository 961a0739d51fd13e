"""Raw rows become examples: adapters, groups, judgments joined with their passages."""
