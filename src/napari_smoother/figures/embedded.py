"""The recipe in the file of a figure: where each format keeps it, and how it is read."""

from __future__ import annotations

import codecs
import re
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from napari_smoother.analyses.recipe_file import from_toml
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from napari_smoother.analyses.recipe_file import RecipeFile

PNG_KEYWORD = "napari-smoother recipe"
PNG_START = b"\x89PNG\r\n\x1a\n"
DESCRIPTION = "{http://purl.org/dc/elements/1.1/}description"
IMAGE_DESCRIPTION = 270
RECIPE_START = "# A recipe of napari-smoother"
MOST_TEXT = 2**28
"""Bytes of a compressed text that are read at most."""


def recipe_of_figure(path: str | os.PathLike[str]) -> RecipeFile:
    """Read the recipe that a figure was made by out of its file.

    Parameters
    ----------
    path
        PNG, TIFF, SVG or PDF, as :func:`save_figure` wrote it.

    Returns
    -------
    RecipeFile
        Every setting, and what was found by them. Of the reference it knows the name of the
        file, not its folder.

    Raises
    ------
    InputError
        If the file cannot be read, or has no recipe: programs that change figures seldom keep it.
    """
    return from_toml(recipe_text_of(path), str(path))


def recipe_text_of(path: str | os.PathLike[str]) -> str:
    """Return the recipe in the file of a figure as TOML; see `recipe_of_figure`."""
    path = Path(path)
    readers = {
        ".png": _texts_of_png,
        ".tif": _texts_of_tiff,
        ".tiff": _texts_of_tiff,
        ".svg": _texts_of_svg,
        ".pdf": _texts_of_pdf,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            "It is no figure", where=str(path), remedy="Choose a .png, .tiff, .svg or .pdf file"
        )
    try:
        for text in reader(path):
            if text.startswith(RECIPE_START):
                return text
    except OSError as fault:
        raise InputError(
            f"The figure cannot be read: {fault.strerror or fault}",
            where=str(path),
            remedy="Choose a file that is there and may be read",
        ) from fault
    except Exception as fault:  # of a file that is something else, or broken
        raise InputError(
            f"The figure cannot be read: {fault}",
            where=str(path),
            remedy="Choose a figure that was saved here",
        ) from fault
    raise InputError(
        "There is no recipe in this figure",
        where=str(path),
        remedy="Choose one as it was saved here: programs that change figures seldom keep it",
    )


def as_tiff_bytes(text: str) -> bytes:
    """Return a text as a TIFF tag holds it; writers would make question marks of some letters."""
    return text.encode("utf-8")


def _texts_of_png(path: Path) -> Iterator[str]:
    with path.open("rb") as stream:
        if stream.read(8) != PNG_START:
            raise ValueError("it is no PNG")
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind not in (b"tEXt", b"zTXt", b"iTXt"):
                stream.seek(length + 4, 1)
                continue
            keyword, _, rest = stream.read(length).partition(b"\0")
            stream.seek(4, 1)
            if keyword == PNG_KEYWORD.encode():
                yield _png_text(kind, rest)


def _png_text(kind: bytes, rest: bytes) -> str:
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _inflated(rest[1:]).decode("latin-1")
    compressed, rest = rest[0], rest[2:]
    text = rest.split(b"\0", 2)[2]  # behind language and translated keyword
    return (_inflated(text) if compressed else text).decode("utf-8")


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MOST_TEXT)


def _texts_of_tiff(path: Path) -> Iterator[str]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags.get(IMAGE_DESCRIPTION)
        if tag is not None:
            value = tag.value
            yield value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _texts_of_svg(path: Path) -> Iterator[str]:
    for _, element in ElementTree.iterparse(path):
        if element.tag == DESCRIPTION:
            yield element.text or ""


def _texts_of_pdf(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    for match in re.finditer(rb"/Subject\s*\(", data):
        yield _pdf_text(data, match.end())


def _pdf_text(data: bytes, start: int) -> str:
    """Return the text in parentheses that begins at a place of a PDF."""
    escapes = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
    found, depth = bytearray(), 1
    for token in re.finditer(rb"\\([0-7]{1,3}|.|\r\n)|([()])|[^\\()]+", data[start:], re.DOTALL):
        if token[2] == b"(":
            depth += 1
        elif token[2] == b")":
            depth -= 1
            if not depth:
                break
        if token[1] is None:
            found += token[0]
        elif token[1].isdigit() and token[1] < b"8":
            found.append(int(token[1], 8) & 255)
        elif token[1] not in (b"\n", b"\r", b"\r\n"):  # which continue a line
            found += escapes.get(token[1], token[1])
    text = bytes(found)
    if text.startswith(codecs.BOM_UTF16_BE):
        return text[2:].decode("utf-16-be")
    return text.decode("latin-1")
