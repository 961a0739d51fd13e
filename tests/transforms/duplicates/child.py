"""A process that verifies one group of rows of one template, which all stay: ``rows`` and the most MiB at once."""

import sys

import numpy as np
import pyarrow as pa

from benchmarks._measure import tell
from transforms.duplicates import verification
from transforms.duplicates.params import MinHashParams, VerificationParams

if __name__ == "__main__":
    rows, verification.MAX_TEXT_BYTES = int(sys.argv[1]), int(sys.argv[2]) << 20
    frame = " ".join(f"word{number}" for number in range(40))
    texts = pa.array([f"{row * 7919:09d} {frame} {row * 104729:09d}" for row in range(rows)], pa.large_string())
    verdicts = verification.verify([texts], np.array([0, rows]), VerificationParams(), MinHashParams())
    kept = int(np.count_nonzero(verdicts.representatives == np.arange(rows)))
    tell(kept=kept, text_mib=texts.nbytes >> 20)
