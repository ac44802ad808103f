"""The walk of lambda in the documentation goes through files that are there, in that order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_step_of_the_walk_is_a_file_that_knows_of_the_next() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"^\d+\. `(src/[\w/.]+)`", text, flags=re.MULTILINE)
    assert len(steps) >= 10
    for step in steps:
        assert (ROOT / step).is_file(), step
    source = {step: (ROOT / step).read_text(encoding="utf-8") for step in steps}
    # Along the way down each file imports the next; up again results travel by signals.
    for above, below in (
        ("widgets/preview.py", "study.analysis"),
        ("widgets/preview.py", "widgets.runner"),
        ("study/analysis.py", "analyses.graph"),
        ("analyses/deconvolution.py", "analyses.deconvolution_steps"),
        ("analyses/deconvolution_steps.py", "solvers.bounded_quadratic"),
        ("layers/scene.py", "spot_map"),
    ):
        assert below in source[f"src/napari_smoother/{above}"], (above, below)


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!http|#)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
