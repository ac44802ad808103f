"""Names become keys that are no paths, and what is not ours is not replaced."""

from __future__ import annotations

import warnings

import pytest

from napari_smoother.keys import (
    key_beside,
    own_entries,
    safe_keys,
    safe_texts,
    warn_of_paths,
    with_report,
)


def test_usual_names_are_their_own_keys():
    names = ["T cell", " B cell ", "..", "50 %", "CD4+", "日本", "index", "<b>", "a\nb"]
    assert list(safe_keys(names).items()) == [(name, name) for name in names]


@pytest.mark.parametrize("name", ["/X", "a/b", ".", "", "_index", "a\0b", "\ud800", "x" * 100_000])
def test_names_that_cannot_be_keys_get_one_that_can(name):
    (key,) = safe_keys([name]).values()
    assert key not in (name, "", ".", "_index")
    assert "/" not in key
    assert "\0" not in key
    assert len(key.encode()) < 1000


def test_no_two_names_share_a_key():
    names = ["a/b", "a∕b", "a\0", "a␀", "_index", "_index_", "x" * 300 + "1", "x" * 300 + "2"]
    keys = safe_keys(names)
    assert len(set(keys.values())) == len(names)
    assert (keys["a∕b"], keys["a␀"], keys["_index_"]) == ("a∕b", "a␀", "_index_")
    assert keys["a/b"] == "a∕b 2"


def test_texts_may_be_paths_but_hold_no_nul():
    assert safe_texts(["/X", "a\0", "\udc80", ""]) == {
        "/X": "/X",
        "a\0": "a␀",
        "\udc80": "\N{REPLACEMENT CHARACTER}",
        "": "",
    }


def test_ours_may_be_replaced_and_others_not():
    assert key_beside("region", {"region"}, ()) == "region_smoother"
    assert key_beside("region", {"region"}, {"region"}) == "region"
    assert key_beside("region", {"a"}, ()) == "region"
    assert key_beside("region", {"region", "region_smoother"}, ()) == "region_smoother_2"
    assert key_beside("region", {"region", "region_smoother"}, {"region_smoother"}) == (
        "region_smoother"
    )
    assert key_beside("region", {"region"}, (), "_drawn") == "region_drawn"


def test_what_was_written_before_is_known():
    assert own_entries({}) == {}
    assert own_entries({"smoother": "mine"}) == {}
    ours = own_entries({"smoother": {"written": {"obs": ["region"], "elsewhere": ["x"]}}})
    assert ours["obs"] == {"region"}
    assert "elsewhere" not in ours
    report = {"recipe": {}, "report": {}}
    called = own_entries({"smoother": {"nnls": report, "weights": report, "mine": 1}})
    assert {"nnls", "nnls_abundance"} <= called["obsm"]
    assert called["obsp"] == {"spatial_connectivities", "spatial_distances"}


def test_reports_are_added_and_nothing_is_replaced():
    uns = {"smoother": {"mine": 1, "nnls": "old"}, "other": 2}
    assert with_report(uns, {"nnls": "new"}) == {
        "smoother": {"mine": 1, "nnls": "new"},
        "other": 2,
    }
    assert uns["smoother"]["nnls"] == "old"
    assert with_report({"smoother": [1, 2]}, {"nnls": "new"}) == {
        "smoother_before": [1, 2],
        "smoother": {"nnls": "new"},
    }


def test_columns_that_anndata_would_take_for_paths_are_told():
    with pytest.warns(UserWarning, match=r"cell types '/X', 'a\\x00' cannot be columns"):
        warn_of_paths(["B cell", "/X", "a\0"], "The cell types")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_paths(["B cell", "T/cell".replace("/", " ")], "The cell types")
