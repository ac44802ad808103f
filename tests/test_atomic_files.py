"""Files are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_smoother.atomic import UNFINISHED, replacing
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
NOT_ROOT = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0,
    reason="needs a user who may not write everywhere",
)


def write(path: Path, text: str = "new") -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_new_content_replaces_the_old(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("of the body")

    with pytest.raises(RuntimeError, match="of the body"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "said"), [(28, "No space left on device"), (30, "Read-only file system")]
)
def test_what_the_system_refuses_is_said_and_the_old_file_stays(tmp_path, number, said):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(InputError, match=said) as refused:
        fail()
    assert str(path) in refused.value.where
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_symbolic_link_is_followed(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"


@POSIX
def test_mode_is_kept_and_a_new_file_has_that_of_any_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    usual = path.stat().st_mode
    path.chmod(0o640)
    write(path)
    assert path.stat().st_mode & 0o777 == 0o640
    write(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").stat().st_mode == usual


@POSIX
def test_other_names_of_the_old_file_are_told(tmp_path):
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("old")
    other.hardlink_to(path)
    with pytest.warns(UserWarning, match=r"a\.txt had 1 other names"):
        write(path)
    assert (path.read_text(), other.read_text()) == ("new", "old")


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write(tmp_path / "no" / "a.txt")


def test_folder_in_the_way(tmp_path):
    with pytest.raises(InputError, match="in the way"):
        write(tmp_path)


@POSIX
def test_pipe_or_circle_in_the_way(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe or device"):
        write(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(InputError, match="circle"):
        write(tmp_path / "circle")
    assert (tmp_path / "circle").is_symlink()


@NOT_ROOT
def test_read_only_file_and_folder(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(InputError, match="read-only"):
        write(path)
    path.chmod(0o644)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            write(path)
    finally:
        tmp_path.chmod(0o755)
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["n" * 300, "日" * 120, "a\0b", "\ud800"])
def test_names_that_no_file_can_have(tmp_path, name):
    with pytest.raises(InputError, match="name cannot be used"):
        write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    write(path)
    assert path.read_text() == "new"


@POSIX
def test_what_a_killed_process_left_is_removed_by_the_next_save(tmp_path):
    code = (
        "import sys, time\n"
        "from napari_smoother.atomic import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "a.txt"
    writing = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writing.stdout is not None
    assert writing.stdout.readline() == "half\n"
    foreign = tmp_path / ".a.0123.txt"
    foreign.write_text("of someone else")
    write(path, "first")  # the other is still at work: its file stays
    (half,) = tmp_path.glob(f"{UNFINISHED}*")
    assert half.read_text() == "half"
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    writing.stdout.close()
    write(path, "second")
    assert sorted(tmp_path.iterdir()) == sorted([path, foreign])
    assert path.read_text() == "second"
