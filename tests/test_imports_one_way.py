"""No module imports another that imports it back, not for types either."""

from __future__ import annotations

import ast
from pathlib import Path

import napari_smoother

ROOT = Path(napari_smoother.__file__).parent


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module, known: set[str]) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= deeper & known or {node.module}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & known


def test_no_circle() -> None:
    trees = modules()
    assert len(trees) > 100
    left = {name: imported(tree, set(trees)) - {name} for name, tree in trees.items()}
    # The package offers public names from everywhere, and gives its version to anybody.
    left.pop("napari_smoother")
    while True:
        done = {name for name, needs in left.items() if not needs & set(left)}
        if not done:
            break
        left = {name: needs for name, needs in left.items() if name not in done}
    assert not left, f"in circles, or above one: {sorted(left)}"
