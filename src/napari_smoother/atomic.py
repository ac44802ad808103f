"""Write a file whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_smoother.errors import InputError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

UNFINISHED = ".napari-smoother-unfinished-"
"""What names of temporary files begin with."""

ANOTHER_NAME = "Choose another file name"
ANOTHER_FOLDER = "Choose a folder you may write to, with space left"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the folder of ``path`` and move it there when all went well.

    A reader sees the old file or the new one, never a part. When the body raises, what it wrote
    is removed and the old file is as it was. A symbolic link is followed, not replaced, and the
    mode of the old file is kept. What a killed process left behind in the folder is removed.

    Parameters
    ----------
    path
        The file to write or replace. Its folder has to exist.

    Yields
    ------
    pathlib.Path
        Where to write, an empty file; it ends in the same suffix as ``path``.

    Raises
    ------
    InputError
        If the folder is missing or full or cannot be written to, ``path`` is no file or is
        read-only, or its name cannot be used.

    Warns
    -----
    UserWarning
        When other names (hard links) of the old file will go on naming the old content.
    """
    target, old = _target(path)
    temporary, held = None, None
    try:
        _remove_abandoned(target.parent)
        temporary, held = _reserve(target)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        if old is not None:
            temporary.chmod(stat.S_IMODE(old.st_mode))
        os.close(held)
        held = None
        os.replace(temporary, target)
        temporary = None
    except OSError as fault:
        raise InputError(
            f"The file could not be written: {_reason(fault)}",
            where=str(target),
            remedy=ANOTHER_FOLDER,
        ) from fault
    finally:
        if held is not None:
            os.close(held)
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    if old is not None and old.st_nlink > 1:
        warnings.warn(
            f"{target} had {old.st_nlink - 1} other names (hard links); they still name the file "
            "as it was before.",
            stacklevel=3,
        )


def _target(path: str | Path) -> tuple[Path, os.stat_result | None]:
    """Return the file behind links, and what is known of it; None when there is none yet."""
    try:
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise InputError(
                "There is no such folder to write into",
                where=str(target.parent),
                remedy="Create the folder or choose another",
            )
        old = os.lstat(target)
    except FileNotFoundError:
        return target, None
    except InputError:  # which is a ValueError
        raise
    except (OSError, ValueError) as fault:  # too long, or with characters that no name may have
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise InputError(
            f"The file name cannot be used: {reason}",
            where=ascii(str(path))[1:-1],
            remedy=ANOTHER_NAME,
        ) from fault
    kinds = {
        stat.S_ISDIR: "A folder is in the way of the file",
        stat.S_ISLNK: "The link leads in a circle",
    }
    for is_kind, problem in kinds.items():
        if is_kind(old.st_mode):
            raise InputError(problem, where=str(target), remedy=ANOTHER_NAME)
    if not stat.S_ISREG(old.st_mode):
        raise InputError(
            "A pipe or device is in the way of the file", where=str(target), remedy=ANOTHER_NAME
        )
    if not os.access(target, os.W_OK):
        raise InputError("The file is read-only", where=str(target), remedy=ANOTHER_NAME)
    return target, old


def _reserve(target: Path) -> tuple[Path, int]:
    """Create the temporary file, and hold it for as long as this process lives."""
    while True:
        # Not named after the target, whose name may be as long as names can be.
        temporary = target.with_name(f"{UNFINISHED}{uuid4().hex}{target.suffix[:20]}")
        held = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if sys.platform != "win32":
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:  # without locks nobody can take it for abandoned
                return temporary, held
        if temporary.exists():
            return temporary, held
        os.close(held)  # another save was quicker to look at it


def _is_abandoned(path: Path) -> bool:
    """Whether the process that wrote it has ended; False where that cannot be known."""
    try:
        if sys.platform == "win32":
            os.rename(path, path)  # refused while a process has it open
            return True
        held = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(held)
    except OSError:
        return False
    return True


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{UNFINISHED}*"):
        if path.is_file() and _is_abandoned(path):
            try:
                path.unlink()
            except OSError as fault:
                warnings.warn(
                    f"{path}, left by a save that was cut off, could not be removed: "
                    f"{fault.strerror}. It takes space; nothing else depends on it.",
                    stacklevel=4,
                )


def _reason(fault: OSError) -> str:
    """Return what the system says: libraries put pages around it."""
    return os.strerror(fault.errno) if fault.errno else str(fault).partition("\n")[0]
