"""Short vectors inside compiled loops: a few neighbouring types held in registers at once.

A spot has a dozen or two types. Loops that short are not vectorised by the compiler, and a sum
over neighbours that goes through memory waits for each store. Here the values of up to 32 types
lie in vector registers from the first neighbour to the last. The processor need not have
registers of that width: the compiler splits what it lacks.

Vectors know ``+``, ``-``, ``*``, ``/`` with vectors and scalars, and what is below; a plain float
is a vector of one, so one piece of code serves all widths.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, overload, register_model

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = ("contract", "nsz")
"""Products and sums may be fused; their order stays as written."""


class Lanes(types.Type):
    """Compiled type of a vector of `width` floats."""

    def __init__(self, element: Any, width: int) -> None:
        self.element, self.width = element, width
        super().__init__(name=f"Lanes({element}, {width})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        element = ir.FloatType() if lanes.element == types.float32 else ir.DoubleType()
        super().__init__(manager, lanes, ir.VectorType(element, lanes.width))


def _element(kind: Any) -> Any:
    return kind.element if isinstance(kind, Lanes) else kind


def _of(element: Any, like: Any) -> Any:
    """Vector or scalar of this element, as wide as another."""
    return Lanes(element, like.width) if isinstance(like, Lanes) else element


def _spread(context: Any, builder: Any, value: Any, given: Any, wanted: Any) -> Any:
    """Scalar or vector as a vector of the wanted type."""
    if isinstance(given, Lanes) or not isinstance(wanted, Lanes):
        return value if isinstance(given, Lanes) else context.cast(builder, value, given, wanted)
    scalar = context.cast(builder, value, given, wanted.element)
    kind = context.get_value_type(wanted)
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), wanted.width), [0] * wanted.width)
    return builder.shuffle_vector(first, nothing, zeros)


def _address(context: Any, builder: Any, array: Any, given: Any, place: Any, lanes: Any) -> Any:
    """Where the entries from a flat index (its type and value in `place`) begin."""
    kind, value = place
    index = context.cast(builder, value, kind, types.intp)
    data = builder.gep(context.make_array(array)(context, builder, given).data, [index])
    if isinstance(lanes, Lanes):
        data = builder.bitcast(data, context.get_value_type(lanes).as_pointer())
    return data


def _checked_width(array: Any) -> int:
    """Bytes of an entry; refuse, while compiling, an array that a flat index would misread."""
    if array.layout != "C":
        raise TypingError(f"Vectors are taken from C-contiguous arrays, not from {array}")
    return int(array.dtype.bitwidth) // 8


@intrinsic(prefer_literal=True)
def nothing(typing: Any, width: Any, scalar: Any) -> Any:
    """Return a vector of `width` zeros (a literal), of the type of a scalar."""
    lanes = Lanes(scalar, width.literal_value)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return ir.Constant(context.get_value_type(lanes), [0.0] * lanes.width)

    return lanes(width, scalar), generate


@intrinsic
def load(typing: Any, array: Any, place: Any, like: Any) -> Any:
    """As many entries of a contiguous array as `like` has, from the flat index `place`."""
    lanes, width = _of(array.dtype, like), _checked_width(array)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, array, given[0], (place, given[1]), lanes)
        return builder.load(address, align=width)

    return lanes(array, place, like), generate


@intrinsic
def at(typing: Any, array: Any, place: Any) -> Any:
    """One entry of a contiguous array, from a flat index that is not below zero.

    Nothing is checked: what ``array[place]`` does for an index below zero takes as long as the
    arithmetic of a short loop.
    """
    _checked_width(array)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_address(context, builder, array, given[0], (place, given[1]), None))

    return array.dtype(array, place), generate


@intrinsic
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Write a vector to a contiguous array, from the flat index `place`."""
    lanes, width = _of(array.dtype, value), _checked_width(array)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        address = _address(context, builder, array, given[0], (place, given[1]), lanes)
        builder.store(given[2], address, align=width)
        return context.get_dummy_value()

    return types.void(array, place, lanes), generate


@intrinsic
def cast(typing: Any, value: Any, scalar: Any) -> Any:
    """Return a vector with each entry in the precision of a scalar."""
    source, target = _element(value), scalar
    lanes = _of(target, value)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        if source == target:
            return given[0]
        kind = context.get_value_type(lanes)
        if target.bitwidth > source.bitwidth:
            return builder.fpext(given[0], kind)
        return builder.fptrunc(given[0], kind)

    return lanes(value, scalar), generate


SIDE = 8
"""Rows and entries that `turn_block` turns."""


@intrinsic
def turn_block(
    typing: Any, source: Any, place: Any, apart: Any, target: Any, there: Any, apart_there: Any
) -> Any:
    """Write eight rows of eight entries as their columns.

    The rows begin at the flat index `place` of `source` and lie `apart` entries from each other;
    the columns become rows of `target` from `there`, `apart_there` from each other.
    """
    width, lanes = _checked_width(source), Lanes(source.dtype, SIDE)
    if _checked_width(target) != width or target.dtype != source.dtype:
        raise TypingError(f"{source} cannot be turned into {target}")

    def rows(
        context: Any, builder: Any, kind: Any, given: Any, first: tuple[Any, Any], step: Any
    ) -> list[Any]:
        begin = context.cast(builder, first[1], first[0], types.intp)
        step = context.cast(builder, step[1], step[0], types.intp)
        addresses = []
        for _ in range(SIDE):
            addresses.append(_address(context, builder, kind, given, (types.intp, begin), lanes))
            begin = builder.add(begin, step)
        return addresses

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds = signature.args
        read = rows(context, builder, source, given[0], (kinds[1], given[1]), (kinds[2], given[2]))
        held = [builder.load(address, align=width) for address in read]
        # Swap one bit of the row's number with the same bit of the column's, bit by bit.
        for bit in (1, 2, 4):
            for row in range(SIDE):
                if row & bit:
                    continue
                pair = held[row], held[row | bit]
                upper = [c if not c & bit else SIDE + c - bit for c in range(SIDE)]
                lower = [c + bit if not c & bit else SIDE + c for c in range(SIDE)]
                held[row], held[row | bit] = (
                    builder.shuffle_vector(
                        *pair, ir.Constant(ir.VectorType(ir.IntType(32), SIDE), order)
                    )
                    for order in (upper, lower)
                )
        written = rows(
            context, builder, target, given[3], (kinds[4], given[4]), (kinds[5], given[5])
        )
        for address, row in zip(written, held, strict=True):
            builder.store(row, address, align=width)
        return context.get_dummy_value()

    return types.void(source, place, apart, target, there, apart_there), generate


def _arithmetic(name: str) -> Any:
    @intrinsic
    def apply(typing: Any, left: Any, right: Any) -> Any:
        lanes = left if isinstance(left, Lanes) else right

        def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            first = _spread(context, builder, given[0], left, lanes)
            second = _spread(context, builder, given[1], right, lanes)
            return getattr(builder, name)(first, second, flags=FLAGS)

        return lanes(left, right), generate

    return apply


_plus, _minus, _times, _over = (_arithmetic(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


def _with_lanes(left: Any, right: Any) -> bool:
    return isinstance(left, Lanes) or isinstance(right, Lanes)


@overload(operator.add, strict=False)
def _add(left: Any, right: Any) -> Callable[..., Any] | None:
    return (lambda left, right: _plus(left, right)) if _with_lanes(left, right) else None


@overload(operator.sub, strict=False)
def _subtract(left: Any, right: Any) -> Callable[..., Any] | None:
    return (lambda left, right: _minus(left, right)) if _with_lanes(left, right) else None


@overload(operator.mul, strict=False)
def _multiply(left: Any, right: Any) -> Callable[..., Any] | None:
    return (lambda left, right: _times(left, right)) if _with_lanes(left, right) else None


@overload(operator.truediv, strict=False)
def _divide(left: Any, right: Any) -> Callable[..., Any] | None:
    return (lambda left, right: _over(left, right)) if _with_lanes(left, right) else None


def over_types(work: Callable[..., None]) -> Callable[..., None]:
    """Make a compiled loop that calls `work` until every type has had its turn.

    Parameters
    ----------
    work
        Compiled, called as ``work(first, second, wide, narrow, *arguments)``. `wide` and `narrow`
        are zeros of the widths to work on from the types `first` and `second`. Where the widths
        do not add up to the types that are left, the two overlap: `work` reads all it needs
        before it writes, so that what is done twice is done alike.

    Returns
    -------
    callable
        Called as ``loop(types, scalar, arguments)``; vectors have the type of the scalar.
    """

    @numba.njit(nogil=True, error_model="numpy")
    def loop(count, scalar, arguments):  # type: ignore[no-untyped-def]
        sixteen, eight, four = nothing(16, scalar), nothing(8, scalar), nothing(4, scalar)
        begin = 0
        while begin < count:
            left = count - begin
            if left > 24:
                last = min(begin + 16, count - 16)
                work(begin, last, sixteen, sixteen, *arguments)
                begin = last + 16
            elif left > 20:
                work(begin, count - 8, sixteen, eight, *arguments)
                begin = count
            elif left > 16:
                work(begin, count - 4, sixteen, four, *arguments)
                begin = count
            elif left >= 8:
                work(begin, count - 8, eight, eight, *arguments)
                begin = count
            elif left >= 4:
                work(begin, count - 4, four, four, *arguments)
                begin = count
            else:
                work(begin, begin, scalar, scalar, *arguments)
                begin += 1

    return loop
