"""Write a file whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the folder of ``path`` and move it there when all went well.

    A reader sees the old file or the new one, never a part. When the body raises, what it wrote
    is removed and the old file is as it was. A symbolic link is followed, not replaced.

    Parameters
    ----------
    path
        The file to write or replace. Its folder has to exist.

    Yields
    ------
    pathlib.Path
        Where to write; it ends in the same suffix as ``path``. Nothing exists there yet.

    Raises
    ------
    InputError
        If the folder is missing, or ``path`` is a folder.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(
            "There is no such folder to write into",
            where=str(target.parent),
            remedy="Create the folder or choose another",
        )
    if target.is_dir():
        raise InputError(
            "A folder is in the way of the file",
            where=str(target),
            remedy="Choose another file name",
        )
    temporary = target.with_name(f".{target.stem}.{uuid4().hex}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
