"""An order of elimination that fills a sparse symmetric factor little: approximate minimum degree.

After Amestoy, Davis and Duff (1996, SIAM J. Matrix Anal. Appl. 17:886-905), written from the
paper. Variables that are eliminated become elements: cliques of what is left, which stand for the
fill. A variable's degree is bounded from the sizes of its elements outside the newest one;
variables with the same neighbours are merged, and elements inside the newest one are absorbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VARIABLE, ELEMENT, GONE = 0, 1, 2

HUB = 10
"""Times the root of the number of rows, the neighbours from which a row comes last: with it in
the lists of all others, each elimination would walk through its own."""

FEWEST_OF_A_HUB = 16


@numba.njit(nogil=True, cache=True)
def _link(node, degree, first, after, before):  # type: ignore[no-untyped-def]
    """Put a variable at the head of those of its degree."""
    head = first[degree]
    after[node], before[node] = head, -1
    if head >= 0:
        before[head] = node
    first[degree] = node


@numba.njit(nogil=True, cache=True)
def _unlink(node, degree, first, after, before):  # type: ignore[no-untyped-def]
    """Take a variable out of the list of its degree."""
    if before[node] >= 0:
        after[before[node]] = after[node]
    else:
        first[degree] = after[node]
    if after[node] >= 0:
        before[after[node]] = before[node]


@numba.njit(nogil=True, cache=True)
def _moved(lists, place, size, kind, need):  # type: ignore[no-untyped-def]
    """Copy the lists still in use, side by side, to an array with room for `need` more."""
    used = 0
    for node in range(kind.size):
        if kind[node] != GONE:
            used += size[node]
    copied = np.empty(used + 2 * need + used // 2, np.int32)
    end = 0
    for node in range(kind.size):
        if kind[node] != GONE:
            begin = place[node]
            place[node] = end
            for step in range(size[node]):
                copied[end] = lists[begin + step]
                end += 1
    return copied, end


@numba.njit(nogil=True, cache=True)
def _neighbours_of_pivot(  # type: ignore[no-untyped-def]
    pivot, lists, end, place, size, elements, kind, weight, degree, first, after, before
):
    """Write the variables next to the pivot behind all lists; make their weights negative.

    The elements of the pivot are gone afterwards: they are part of the new one.
    """
    own = place[pivot]
    span = 0
    for source in range(elements[pivot] + 1):
        if source < elements[pivot]:
            element = lists[own + source]
            if kind[element] != ELEMENT:
                continue
            begin, stop = place[element], place[element] + size[element]
            kind[element] = GONE
        else:
            begin, stop = own + elements[pivot], own + size[pivot]
        for spot in range(begin, stop):
            node = lists[spot]
            if weight[node] > 0:
                span += weight[node]
                _unlink(node, degree[node], first, after, before)
                weight[node] = -weight[node]
                lists[end] = node
                end += 1
    return end, span


@numba.njit(nogil=True, cache=True)
def _merge_alike(  # type: ignore[no-untyped-def]
    begin, end, lists, place, size, elements, kind, weight, parent, key, bucket, chain, mark, flag
):
    """Merge the variables next to the newest element that have the same neighbours."""
    for spot in range(begin, end):
        node = lists[spot]
        if weight[node] != 0:
            chain[node] = bucket[key[node]]
            bucket[key[node]] = node
    for spot in range(begin, end):
        if weight[lists[spot]] == 0:
            continue
        node = bucket[key[lists[spot]]]
        bucket[key[lists[spot]]] = -1
        while node >= 0 and chain[node] >= 0:
            flag += 1
            for step in range(1, size[node]):
                mark[lists[place[node] + step]] = flag
            last, other = node, chain[node]
            while other >= 0:
                same = size[other] == size[node] and elements[other] == elements[node]
                step = 1
                while same and step < size[other]:
                    same = mark[lists[place[other] + step]] == flag
                    step += 1
                if same:
                    weight[node] += weight[other]
                    weight[other] = 0
                    parent[other], kind[other] = node, GONE
                    chain[last] = chain[other]
                else:
                    last = other
                other = chain[other]
            node = chain[node]
    return flag


@numba.njit(nogil=True, cache=True)
def _looks_symmetric(pointers, neighbours):  # type: ignore[no-untyped-def]
    """Whether as many entries, of the same sum of numbers, point to a row as lie in it."""
    n = pointers.size - 1
    counts, sums = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for row in range(n):
        for spot in range(pointers[row], pointers[row + 1]):
            other = neighbours[spot]
            counts[row] += 1
            counts[other] -= 1
            sums[row] += other
            sums[other] -= row
    return not counts.any() and not sums.any()


@numba.njit(nogil=True, cache=True)
def _eliminate(pointers, neighbours, pivots, parent):  # type: ignore[no-untyped-def]
    """Fill in the pivots in their order; `parent` is what else stands for a variable, or -1.

    Return how many there are, or -1 where the pattern turns out not to be symmetric.
    """
    n = pointers.size - 1
    place, size = np.zeros(n, np.int64), np.zeros(n, np.int64)
    lists = np.empty(neighbours.size + neighbours.size // 2 + n, np.int32)
    elements, kind = np.zeros(n, np.int64), np.full(n, VARIABLE, np.int8)
    weight, spans = np.ones(n, np.int64), np.zeros(n, np.int64)
    most = max(FEWEST_OF_A_HUB, HUB * np.sqrt(n))
    hubs = np.flatnonzero(np.diff(pointers) > most)
    kind[hubs], weight[hubs] = GONE, 0
    end = 0
    for node in range(n):
        place[node] = end
        if kind[node] == VARIABLE:
            for spot in range(pointers[node], pointers[node + 1]):
                other = neighbours[spot]
                if other != node and kind[other] == VARIABLE:
                    lists[end] = other
                    end += 1
        size[node] = end - place[node]
    degree, mark, key = size.copy(), np.zeros(n, np.int64), np.zeros(n, np.int64)
    first, after, before = np.full(n, -1), np.full(n, -1), np.full(n, -1)
    bucket, chain = np.full(n, -1), np.full(n, -1)
    for node in range(n - 1, -1, -1):
        if kind[node] == VARIABLE:
            _link(node, degree[node], first, after, before)
    done = hubs.size
    count = lowest = 0
    flag = 1
    while done < n:
        while first[lowest] < 0:
            lowest += 1
        pivot = first[lowest]
        _unlink(pivot, lowest, first, after, before)
        pivots[count] = pivot
        count += 1
        done += weight[pivot]
        weight[pivot] = -weight[pivot]
        need = size[pivot]
        for step in range(elements[pivot]):
            need += size[lists[place[pivot] + step]]
        if end + need > lists.size:
            lists, end = _moved(lists, place, size, kind, need)
        begin = end
        end, span = _neighbours_of_pivot(
            pivot, lists, end, place, size, elements, kind, weight, degree, first, after, before
        )
        # How much of each element lies outside the new one.
        for spot in range(begin, end):
            node = lists[spot]
            for step in range(elements[node]):
                element = lists[place[node] + step]
                if kind[element] == ELEMENT:
                    if mark[element] < flag:
                        mark[element] = flag + spans[element]
                    mark[element] += weight[node]
        for spot in range(begin, end):
            node = lists[spot]
            own = out = place[node]
            outside = code = 0
            for step in range(elements[node]):
                element = lists[own + step]
                if kind[element] == ELEMENT:
                    beyond = mark[element] - flag
                    if beyond > 0:
                        outside += beyond
                        code += element
                        lists[out] = element
                        out += 1
                    else:
                        kind[element] = GONE
            kept = out - own
            for step in range(elements[node], size[node]):
                other = lists[own + step]
                if weight[other] > 0:
                    outside += weight[other]
                    code += other
                    lists[out] = other
                    out += 1
            if outside == 0:
                # Nothing else is next to it: it is eliminated with the pivot.
                done -= weight[node]
                span += weight[node]
                weight[node] = 0
                parent[node], kind[node] = pivot, GONE
                continue
            degree[node] = min(degree[node], outside)
            if out - own >= size[node]:
                return -1  # the pattern is not symmetric
            # The new element comes first; what was there before left at least one place.
            lists[out] = lists[own + kept]
            lists[own + kept] = lists[own]
            lists[own] = pivot
            elements[node], size[node] = kept + 1, out - own + 1
            key[node] = code % n
        flag += n + 1
        flag = _merge_alike(
            begin, end, lists, place, size, elements, kind, weight, parent, key, bucket, chain,
            mark, flag,
        )  # fmt: skip
        flag += 1
        out = begin
        for spot in range(begin, end):
            node = lists[spot]
            if weight[node] < 0:
                weight[node] = -weight[node]
                beside = min(degree[node] + span, n - done) - weight[node]
                degree[node] = max(beside, 0)
                _link(node, degree[node], first, after, before)
                lowest = min(lowest, degree[node])
                lists[out] = node
                out += 1
        place[pivot], size[pivot], elements[pivot] = begin, out - begin, 0
        kind[pivot] = ELEMENT if out > begin else GONE
        spans[pivot], weight[pivot] = span, 0
        end = out
    pivots[count : count + hubs.size] = hubs
    return count + hubs.size


@numba.njit(nogil=True, cache=True)
def _gather(pivots, count, parent, order):  # type: ignore[no-untyped-def]
    """Write every variable beside the pivot that stands for it."""
    n = order.size
    rank, sizes = np.full(n, -1), np.zeros(count + 1, np.int64)
    for step in range(count):
        rank[pivots[step]] = step
    for node in range(n):
        root = node
        while rank[root] < 0:
            root = parent[root]
        # What lies on the way need not be walked again.
        other = node
        while rank[other] < 0:
            rank[other], other = rank[root], parent[other]
        sizes[rank[node] + 1] += 1
    for step in range(count):
        sizes[step + 1] += sizes[step]
    for node in range(n):
        order[sizes[rank[node]]] = node
        sizes[rank[node]] += 1


def minimum_degree(
    pointers: NDArray[np.integer], neighbours: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Order the rows of a symmetric sparse matrix for elimination with little fill.

    Parameters
    ----------
    pointers, neighbours
        Sparse rows of the pattern, each entry once, with or without the diagonal.

    Returns
    -------
    ndarray
        Rows in their order, shape (n,), int32; the same for the same pattern.

    Raises
    ------
    ValueError
        If the pattern is not symmetric.
    """
    n = pointers.size - 1
    order = np.empty(n, np.int32)
    if n > 0:
        pivots, parent = np.empty(n, np.int64), np.full(n, -1, np.int64)
        count = -1
        if _looks_symmetric(pointers, neighbours):
            count = _eliminate(pointers, neighbours, pivots, parent)
        if count < 0:
            raise ValueError("the pattern is not symmetric")
        _gather(pivots, count, parent, order)
    return order
