"""A process that holds some memory and tells it."""

import sys

from benchmarks._measure import tell

MIB = 1 << 20

if __name__ == "__main__":
    size = int(sys.argv[1])
    if size < 0:
        sys.exit(3)
    memory = bytes([1]) * (size * MIB)
    print("what a library may print on the way")
    tell(held=len(memory) // MIB)
