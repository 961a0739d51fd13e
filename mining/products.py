"""Scores of a few queries with a panel of passages: the one loop that mining's time is spent in, as LLVM IR.

The sums stay in registers (6 queries by 16 passages of int32 are 12 of the 16 that AVX2 has) and are compared with what
each query still wants before they leave them, so that nothing is read again where no passage scores high enough.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

#: Queries and passages of one step.
QUERIES, PANEL = 6, 16

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_HALF, _WIDE = ir.VectorType(_INT, 8), ir.VectorType(_INT, 16)
_SHORTS = ir.VectorType(ir.IntType(16), 16)


def products(num_queries: int) -> Any:
    """An intrinsic that writes the scores of some queries with a panel, and gives whether any is above what its query
    wants: ``(queries, bytes per query, pairs, panel, scores, wanted, above)``, where all but the numbers are addresses.

    ``queries``: pairs of int16 components. ``panel``: pair i of passage x at ``16 i + x``. ``scores``: int32
    ``[num_queries, 16]``. ``wanted``: an int32 for each query. ``above``: uint16 ``[num_queries]``, of which bit x is
    set where passage x scores above what the query wants.
    """

    @intrinsic
    def multiplied(context, queries, stride, pairs, panel, scores, wanted, above):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            queries, stride, pairs, panel, scores, wanted, above = arguments
            sums = _sums(builder, num_queries, queries, stride, pairs, panel)
            for number, total in enumerate(sums):
                _store(builder, total, builder.add(scores, _number(32 * number)), 32)
            return _compare(builder, sums, wanted, above)

        return types.boolean(*[types.intp] * 7), code

    return multiplied


def _sums(builder: Any, num_queries: int, queries: Any, stride: Any, pairs: Any, panel: Any) -> list[Any]:
    """Sums over all pairs of components, 2 x 8 lanes for each query."""
    sums = [cgutils.alloca_once(builder, _HALF) for _ in range(2 * num_queries)]
    for total in sums:
        builder.store(ir.Constant(_HALF, [0] * 8), total)
    with cgutils.for_range(builder, pairs, intp=_LONG) as loop:
        at = builder.mul(loop.index, _number(64))
        halves = [_load(builder, builder.add(panel, builder.add(at, _number(place))), _SHORTS, 32) for place in (0, 32)]
        for query in range(num_queries):
            place = builder.add(builder.mul(stride, _number(query)), builder.mul(loop.index, _number(4)))
            pair = builder.bitcast(_spread(builder, _load(builder, builder.add(queries, place), _INT, 4)), _SHORTS)
            for half, total in zip(halves, sums[2 * query : 2 * query + 2], strict=True):
                builder.store(builder.add(builder.load(total), _pair_products(builder, half, pair)), total)
    return [builder.load(total) for total in sums]


def _compare(builder: Any, sums: list[Any], wanted: Any, above: Any) -> Any:
    """Write a bit for each sum above what its query wants; gives whether there is any."""
    everything: Any = ir.Constant(ir.VectorType(ir.IntType(1), 8), [0] * 8)
    for query in range(len(sums) // 2):
        least = _spread(builder, _load(builder, builder.add(wanted, _number(4 * query)), _INT, 4))
        for half in (0, 1):
            higher = builder.icmp_signed(">", sums[2 * query + half], least)
            everything = builder.or_(everything, higher)
            bits = builder.bitcast(higher, ir.IntType(8))
            _store(builder, bits, builder.add(above, _number(2 * query + half)), 1)
    return builder.icmp_unsigned("!=", builder.bitcast(everything, ir.IntType(8)), ir.Constant(ir.IntType(8), 0))


def _number(value: int) -> Any:
    return ir.Constant(_LONG, value)


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    loaded.align = align
    return loaded


def _store(builder: Any, value: Any, address: Any, align: int) -> None:
    builder.store(value, builder.inttoptr(address, ir.PointerType(value.type))).align = align


def _spread(builder: Any, value: Any) -> Any:
    """One int32 in all lanes."""
    first = builder.insert_element(ir.Constant(_HALF, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, ir.Constant(_HALF, ir.Undefined), ir.Constant(_HALF, [0] * 8))


def _pair_products(builder: Any, left: Any, right: Any) -> Any:
    """Multiply 16 lanes, and add even and odd ones: what ``pmaddwd`` does."""
    product = builder.mul(builder.sext(left, _WIDE), builder.sext(right, _WIDE))
    even, odd = (
        builder.shuffle_vector(product, ir.Constant(_WIDE, ir.Undefined), ir.Constant(_HALF, list(range(first, 16, 2))))
        for first in (0, 1)
    )
    return builder.add(even, odd)


def _lowest_bit(context, bits):  # type: ignore[no-untyped-def]
    """The place of the lowest bit that is set; ``bits`` is an int64 and not 0."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), code


lowest_bit: Any = intrinsic(_lowest_bit)
