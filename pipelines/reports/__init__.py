"""What people look at and take away: the data card, the report of a run, exports for trainers, comparisons of runs."""
