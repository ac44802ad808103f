"""Files are written whole or not at all."""

from __future__ import annotations

import anndata
import numpy as np
import pytest

from napari_smoother.errors import InputError
from napari_smoother.io.atomic import replacing
from napari_smoother.io.h5ad import write_h5ad


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
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_symbolic_link_is_followed(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"), replacing(tmp_path / "no" / "a.txt"):
        pass


def test_folder_in_the_way(tmp_path):
    with pytest.raises(InputError, match="in the way"), replacing(tmp_path):
        pass


def test_h5ad_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.h5ad"
    write_h5ad(anndata.AnnData(np.eye(3, dtype=np.float32)), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="writing key"):
        write_h5ad(anndata.AnnData(np.eye(2, dtype=np.float32), uns={"bad": object()}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
