"""Find damage that HDF5 would read for ever.

Text of any length lies in heaps. An object of a heap that says it has no length, as when a piece
of a file was overwritten with zeros, keeps the library (2.0 and before) in a loop that nothing
can interrupt. So heaps are walked through before anything is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

SIGNATURE = b"GCOL"
HEADER = 16
"""Bytes before the first object of a heap, and before what an object holds."""

PIECE = 1 << 24
LARGEST = 1 << 29
"""Bytes of a file above which it is not searched: that would take longer than reading it."""


def has_endless_heap(path: Path) -> bool:
    """Whether reading text of a file would not end.

    Parameters
    ----------
    path
        An HDF5 file.
    """
    known = path.stat()
    if known.st_size > LARGEST:
        return False
    return _search(path, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=8)
def _search(path: Path, size: int, modified: int) -> bool:
    with path.open("rb") as file:
        start = 0
        while start < size:
            file.seek(start)
            piece = file.read(PIECE + len(SIGNATURE) - 1)
            place = piece.find(SIGNATURE)
            while place >= 0:
                if _is_endless(file, start + place, size):
                    return True
                place = piece.find(SIGNATURE, place + 1)
            start += PIECE
    return False


def _is_endless(file: BinaryIO, place: int, size: int) -> bool:
    """Whether an object of the heap that begins here has no length."""
    file.seek(place)
    header = file.read(HEADER)
    length = int.from_bytes(header[8:], "little")
    if header[4:8] != b"\1\0\0\0" or not HEADER <= length <= size - place:
        return False  # these letters by chance
    heap = file.read(length - HEADER)
    at = 0
    while at + HEADER <= len(heap):
        number = int.from_bytes(heap[at : at + 2], "little")
        held = int.from_bytes(heap[at + 8 : at + HEADER], "little")
        # Object 0 is the room that is left, and counts its own header.
        step = held if number == 0 else HEADER + -(-held // 8) * 8
        if step == 0:
            return True
        at += step
    return False
