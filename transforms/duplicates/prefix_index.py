"""Which rows of a group may resemble each other: an index of rows by keys that two of them share if they do."""

import numpy as np

from transforms.flow.kernels import kernel

#: More representatives than this under one key are those of a template; rows of it are found by what fills it.
_MAX_SHARING = 64
#: Shingles from which on they are counted in ranges of their values, one after the other, to sort few at a time.
_MANY_SHINGLES = 1 << 20
_VALUE_RANGE_BITS = 4


@kernel
def new_index(keys, ends, num_keys):  # type: ignore[no-untyped-def]
    """An index of who is found by which key: (keys, ends, heads, links, owners, uses, seen), as yet without anybody.

    Row r, counted from the group's start, has the keys ``keys[ends[r]:ends[r + 1]]``. The ``uses[k]`` representatives
    of key k are ``owners`` of a chain of positions in ``keys``, from ``heads[k]`` over ``links`` until -1.
    """
    heads, uses = np.full(num_keys, -1), np.zeros(num_keys, np.int64)
    links, owners, seen = np.full(len(keys), -1), np.full(len(keys), -1), np.zeros(len(ends) - 1, np.bool_)
    return keys, ends, heads, links, owners, uses, seen


@kernel
def enlist(index, row):  # type: ignore[no-untyped-def]
    """Let a representative be found by its keys."""
    keys, ends, heads, links, owners, uses, _ = index
    for at in range(ends[row], ends[row + 1]):
        owners[at], links[at], heads[keys[at]] = row, heads[keys[at]], at
        uses[keys[at]] += 1


@kernel
def _gather(index, row, most, found):  # type: ignore[no-untyped-def]
    """Put those who share a key with a row that at most ``most`` have into ``found``, each once; gives their number."""
    keys, ends, heads, links, owners, uses, seen = index
    count = 0
    for at in range(ends[row], ends[row + 1]):
        place = heads[keys[at]] if uses[keys[at]] <= most else -1
        while place >= 0:
            owner = owners[place]
            if not seen[owner]:
                seen[owner] = True
                found[count] = owner
                count += 1
            place = links[place]
    for owner in found[:count]:
        seen[owner] = False
    return count


@kernel
def sharing(index, row, found):  # type: ignore[no-untyped-def]
    """The representatives that share a key with a row, in survivor order; ``found`` is room for them.

    A key that very many representatives have in common, who do not resemble each other, says nothing.
    """
    return np.sort(found[: _gather(index, row, _MAX_SHARING, found)])


@kernel
def all_sharing(index, row):  # type: ignore[no-untyped-def]
    """All who share a key with a row, in no order, itself among them where it is listed."""
    keys, ends, _, _, owners, uses, _ = index
    size = 0
    for at in range(ends[row], ends[row + 1]):
        size += uses[keys[at]]
    found = np.empty(size, np.int64)
    return found[: _gather(index, row, len(owners), found)]


@kernel
def numbered(values):  # type: ignore[no-untyped-def]
    """The distinct values in order, and the place of each value among them."""
    every = np.unique(values)
    return every, np.searchsorted(every, values)


@kernel
def _longest_field(sets, start, end):  # type: ignore[no-untyped-def]
    """The texts of a group's rows in the field that has most shingles."""
    num_fields, _, offsets = sets[:3]
    totals = np.zeros(num_fields, np.int64)
    for text in range(start * num_fields, end * num_fields):
        totals[text % num_fields] += offsets[text + 1] - offsets[text]
    return np.arange(start, end) * num_fields + np.argmax(totals)


@kernel
def _shingles_within(sets, texts, shift, value_range):  # type: ignore[no-untyped-def]
    """The shingles of texts whose value, without its last ``shift`` bits, is ``value_range``; sorted."""
    _, values, offsets = sets[:3]
    size = 0
    for text in texts:
        for value in values[offsets[text] : offsets[text + 1]]:
            size += value >> shift == value_range
    found, at = np.empty(size, np.uint64), 0
    for text in texts:
        for value in values[offsets[text] : offsets[text + 1]]:
            if value >> shift == value_range:
                found[at] = value
                at += 1
    found.sort()
    return found


@kernel
def _counted(found):  # type: ignore[no-untyped-def]
    """The distinct values among sorted ones, and how often each stands there."""
    size = 0
    for at in range(len(found)):
        size += at == 0 or found[at] != found[at - 1]
    every, counts, last = np.empty(size, np.uint64), np.zeros(size, np.int64), -1
    for at in range(len(found)):
        if at == 0 or found[at] != found[at - 1]:
            last += 1
            every[last] = found[at]
        counts[last] += 1
    return every, counts


@kernel
def _shingle_counts(sets, texts, total):  # type: ignore[no-untyped-def]
    """The distinct ones of the ``total`` shingles of texts, in order, and how many texts have each."""
    bits = _VALUE_RANGE_BITS if total > _MANY_SHINGLES else 1
    every, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for value_range in range(1 << bits):
        some, uses = _counted(_shingles_within(sets, texts, np.uint64(64 - bits), np.uint64(value_range)))
        every.append(some)
        counts.append(uses)
    return _joined(every), _joined(counts)


@kernel
def _joined(pieces):  # type: ignore[no-untyped-def]
    size, at = 0, 0
    for piece in pieces:
        size += len(piece)
    whole = np.empty(size, pieces[0].dtype)
    for piece in pieces:
        whole[at : at + len(piece)] = piece
        at += len(piece)
    return whole


@kernel
def rare_keys(sets, start, end, floor):  # type: ignore[no-untyped-def]
    """An index of the group's rows by their rarest shingles in the field that has most of them.

    Of two sets with a Jaccard similarity of at least t, each holds one of the rarest n - ceil(t n) + 1 of the other's n
    elements (prefix filtering: Chaudhuri, Ganti, Kaushik, A primitive operator for similarity joins in data cleaning,
    2006). A row without shingles can only equal another such row: they share a key of their own.
    """
    texts, values, offsets = _longest_field(sets, start, end), sets[1], sets[2]
    sizes = offsets[texts + 1] - offsets[texts]
    every, counts = _shingle_counts(sets, texts, sizes.sum())
    wanted = np.where(sizes > 0, sizes - np.ceil(floor * sizes - 1e-9).astype(np.int64) + 1, 1)
    ends = np.zeros(len(texts) + 1, np.int64)
    ends[1:] = np.cumsum(wanted)
    keys = np.full(ends[-1], len(every))
    for row in range(len(texts)):
        if sizes[row]:
            places = np.searchsorted(every, values[offsets[texts[row]] : offsets[texts[row] + 1]])
            rarest = np.sort(counts[places] * len(every) + places)[: wanted[row]]
            keys[ends[row] : ends[row + 1]] = rarest % len(every)
    return new_index(keys, ends, len(every) + 1)


@kernel
def no_index():  # type: ignore[no-untyped-def]
    """An index of no rows, by no keys."""
    return new_index(np.empty(0, np.int64), np.zeros(1, np.int64), 0)


@kernel
def whole_index(sets, start, end, floor):  # type: ignore[no-untyped-def]
    """``rare_keys`` with every row listed."""
    index = rare_keys(sets, start, end, floor)
    for row in range(end - start):
        enlist(index, row)
    return index
