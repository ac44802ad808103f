"""Run the benchmarks and write what they print to RESULTS.md.

python benchmarks/run_all.py [NAME ...]   (default: all; others keep what they have)
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from napari_smoother import _core

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
TITLES = {
    "cold_start": "The first start after an installation",
    "live_preview": "Live preview in the real window",
    "embedding_canvas": "A scatter of 300,000 points",
    "graph": "Graphs against smoother-omics, squidpy and scikit-learn",
    "spatially_variable_genes": "Spatially variable genes against squidpy",
    "losses": "Losses against smoother-omics",
    "solver": "The bounded quadratic solver",
    "preconditioners": "Which problem needs which preconditioner",
    "one_million": "One million spots",
    "deconvolution": "Deconvolution against smoother-omics",
    "flashdeconv_comparison": "Deconvolution against FlashDeconv, counts to proportions",
    "reduction": "Reduction against smoother-omics",
    "imputation": "Imputation against smoother-omics",
}
HEAD = """# Measured speed

Written by `make benchmarks`; nothing here is typed by hand. squidpy and flashdeconv have an
environment of their own, since flashdeconv needs an older numba and numpy: `.venv-benchmarks`,
pinned in `benchmarks/constraints.txt`. Each section names its script, the machine, the instruction
set and threads of the core, and the load while it ran. Times of the choice of settings and of
deviations stand with their accuracy in `docs/choice.md` and `docs/uncertainty.md`.
"""


def processor() -> str:
    """Return the name of the processor."""
    names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.processor()


def section(name: str) -> str:
    """Run one benchmark and return its section."""
    before = os.getloadavg()[0]
    run = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        print(run.stderr, file=sys.stderr)
        raise SystemExit(f"{name} failed with code {run.returncode}")
    day = datetime.datetime.now(tz=datetime.UTC).date()
    core = f"core {_core.LEVEL} with {_core.thread_count()} threads"
    facts = (
        f"`benchmarks/{name}.py`, {day}, {os.cpu_count()} cores ({processor()}), "
        f"Python {platform.python_version()}, {core}, "
        f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after."
    )
    return f"## {TITLES[name]}\n\n{facts}\n\n{run.stdout.strip()}\n"


def main() -> None:
    """Replace the sections that were asked for."""
    written = RESULTS.read_text() if RESULTS.exists() else ""
    found = {
        match[1]: match[0].rstrip() + "\n"
        for match in re.finditer(r"(?ms)^## ([^\n]+)\n.*?(?=^## |\Z)", written)
    }
    for name in sys.argv[1:] or TITLES:
        found[TITLES[name]] = section(name)
        ordered = [found[title] for title in TITLES.values() if title in found]
        RESULTS.write_text("\n".join([HEAD, *ordered]))


if __name__ == "__main__":
    main()
