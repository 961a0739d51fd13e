"""What a run costs before it is started: a model of each stage, and the coefficients that were measured for it."""
