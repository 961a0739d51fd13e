"""Scores of a few queries with a panel of passages: the one loop that mining's time is spent in, as LLVM IR.

The sums stay in registers (two for each query) and are compared with what each query still wants before they leave
them, so that nothing is read again where no passage scores high enough. How wide a register is depends on the CPU, what
is in it does not: a sum of integers is the same in any order.
"""

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic


def _lanes(cpu_name: str | None, cpu_features: str | None) -> int:
    """Passages whose int32 sums fill a register: of 512 bits where the CPU multiplies int16 in such, else of 256.

    Where numba compiles for a CPU that it was told (``NUMBA_CPU_NAME``), that is ``x86-64-v4`` or one to which
    ``NUMBA_CPU_FEATURES`` adds it.
    """
    if cpu_name:
        return 16 if cpu_name == "x86-64-v4" or "+avx512bw" in (cpu_features or "") else 8
    return 16 if llvmlite.binding.get_host_cpu_features().get("avx512bw") else 8


LANES = _lanes(config.CPU_NAME, config.CPU_FEATURES)  # type: ignore[attr-defined]
#: Queries and passages of one step: their sums take 16 of AVX-512's 32 registers, or 12 of AVX2's 16.
QUERIES, PANEL = 8 if LANES == 16 else 6, 2 * LANES

_INT, _LONG = ir.IntType(32), ir.IntType(64)


def products(num_queries: int, lanes: int = LANES) -> Any:
    """An intrinsic that writes the scores of some queries with a panel, and gives whether any is above what its query
    wants: ``(queries, bytes per query, pairs, panel, scores, wanted, above)``, where all but the numbers are addresses.

    A panel is ``2 * lanes`` passages. ``queries``: pairs of int16 components. ``panel``: pair i of passage x at
    ``2 * lanes * i + x``. ``scores``: int32 ``[num_queries, 2 * lanes]``; it and ``panel`` begin at a multiple of 64
    bytes. ``wanted``: an int32 for each query. ``above``: uint32 ``[num_queries]``, zeros before, of which bit x is set
    where passage x scores above what the query wants.
    """

    @intrinsic
    def multiplied(context, queries, stride, pairs, panel, scores, wanted, above):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            queries, stride, pairs, panel, scores, wanted, above = arguments
            sums = _sums(builder, num_queries, lanes, queries, stride, pairs, panel)
            for number, total in enumerate(sums):
                _store(builder, total, builder.add(scores, _number(4 * lanes * number)), 4 * lanes)
            return _compare(builder, sums, lanes, wanted, above)

        return types.boolean(*[types.intp] * 7), code

    return multiplied


def _sums(builder: Any, num_queries: int, lanes: int, queries: Any, stride: Any, pairs: Any, panel: Any) -> list[Any]:
    """Sums over all pairs of components, 2 x ``lanes`` for each query."""
    kind, shorts = ir.VectorType(_INT, lanes), ir.VectorType(ir.IntType(16), 2 * lanes)
    sums = [cgutils.alloca_once(builder, kind) for _ in range(2 * num_queries)]
    for total in sums:
        builder.store(ir.Constant(kind, [0] * lanes), total)
    with cgutils.for_range(builder, pairs, intp=_LONG) as loop:
        at = builder.add(panel, builder.mul(loop.index, _number(8 * lanes)))
        halves = [_load(builder, builder.add(at, _number(place)), shorts, 4 * lanes) for place in (0, 4 * lanes)]
        for query in range(num_queries):
            place = builder.add(builder.mul(stride, _number(query)), builder.mul(loop.index, _number(4)))
            pair = _spread(builder, _load(builder, builder.add(queries, place), _INT, 4), kind)
            for half, total in zip(halves, sums[2 * query : 2 * query + 2], strict=True):
                product = _pair_products(builder, half, builder.bitcast(pair, shorts))
                builder.store(builder.add(builder.load(total), product), total)
    return [builder.load(total) for total in sums]


def _compare(builder: Any, sums: list[Any], lanes: int, wanted: Any, above: Any) -> Any:
    """Write a bit for each sum above what its query wants; gives whether there is any."""
    bits = ir.IntType(lanes)
    everything: Any = ir.Constant(bits, 0)
    for query in range(len(sums) // 2):
        least = _spread(builder, _load(builder, builder.add(wanted, _number(4 * query)), _INT, 4), sums[0].type)
        for half in (0, 1):
            higher = builder.bitcast(builder.icmp_signed(">", sums[2 * query + half], least), bits)
            everything = builder.or_(everything, higher)
            _store(builder, higher, builder.add(above, _number(4 * query + lanes // 8 * half)), 1)
    return builder.icmp_unsigned("!=", everything, ir.Constant(bits, 0))


def _number(value: int) -> Any:
    return ir.Constant(_LONG, value)


def _load(builder: Any, address: Any, kind: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
    loaded.align = align
    return loaded


def _store(builder: Any, value: Any, address: Any, align: int) -> None:
    builder.store(value, builder.inttoptr(address, ir.PointerType(value.type))).align = align


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    """One int32 in all lanes of a vector of this kind."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(kind, [0] * kind.count))


def _pair_products(builder: Any, left: Any, right: Any) -> Any:
    """Multiply the lanes, and add even and odd ones: what ``pmaddwd`` does (and ``vpdpwssd`` with the next sum)."""
    wide, half = ir.VectorType(_INT, left.type.count), ir.VectorType(_INT, left.type.count // 2)
    product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    even, odd = (
        builder.shuffle_vector(
            product, ir.Constant(wide, ir.Undefined), ir.Constant(half, list(range(first, wide.count, 2)))
        )
        for first in (0, 1)
    )
    return builder.add(even, odd)


def _lowest_bit(context, bits):  # type: ignore[no-untyped-def]
    """The place of the lowest bit that is set; ``bits`` is an int64 and not 0."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), code


lowest_bit: Any = intrinsic(_lowest_bit)
