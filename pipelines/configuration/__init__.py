"""The configuration of a run: which keys there are, where each value comes from, and what holds for each dataset."""
