"""Which files a dataset has, how they are cut into units, and how a unit becomes raw rows."""
