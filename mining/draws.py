"""xxh3-64 of 32 bytes under a seed, compiled: the keys of draws (``mining.policies.draw_keys``) without a Python call
for each. Source: the XXH3 specification, inputs of 17 to 128 bytes.
"""

import numpy as np

from transforms.flow.kernels import kernel

_PRIME = np.uint64(0x9E3779B185EBCA87)
_AVALANCHE = np.uint64(0x165667919E3779F9)
#: The first 32 bytes of XXH3's secret, as little-endian words.
_SECRET = (
    np.uint64(0xBE4BA423396CFEB8),
    np.uint64(0x1CAD21F72C81017C),
    np.uint64(0xDB979083E96DD4DE),
    np.uint64(0x1F67B3B7A4A44072),
)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_37 = np.uint64(37)


@kernel
def _fold(left, right):  # type: ignore[no-untyped-def]
    """Both halves of a product of 128 bits, combined by exclusive or."""
    a, b, c, d = left & _LOW, left >> _HALF, right & _LOW, right >> _HALF
    low, first, second = a * c, b * c, a * d
    middle = (low >> _HALF) + (first & _LOW) + second
    high = b * d + (first >> _HALF) + (middle >> _HALF)
    return ((middle << _HALF) | (low & _LOW)) ^ high


@kernel
def draw_key(words, more, seed):  # type: ignore[no-untyped-def]
    """xxh3-64 of 32 bytes: two and two little-endian words."""
    mixed = np.uint64(32) * _PRIME
    mixed += _fold(words[0] ^ (_SECRET[0] + seed), words[1] ^ (_SECRET[1] - seed))
    mixed += _fold(more[0] ^ (_SECRET[2] + seed), more[1] ^ (_SECRET[3] - seed))
    mixed ^= mixed >> _37
    mixed *= _AVALANCHE
    return mixed ^ (mixed >> _HALF)
