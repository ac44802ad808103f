"""The first start after an installation, beside those that follow.

python benchmarks/cold_start.py [--checkout FOLDER]

Clones what is committed in a checkout (any version of it), sets the clone up, starts the
demonstration three times in it, and processes that deconvolve a section twice each. Caches are
empty at the beginning of both; the files of the libraries were just written, and may still be in
memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
STARTS = 3
PATIENCE = 900.0

# Seconds of two calls, and of the outermost imports, wherever in the process they happen.
PROGRAM = """
import builtins, importlib, json, time
depth, importing = 0, 0.0

def clocked(function):
    def call(*arguments, **named):
        global depth, importing
        depth, began = depth + 1, time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            depth -= 1
            if depth == 0:
                importing += time.perf_counter() - began
    return call

builtins.__import__ = clocked(builtins.__import__)
importlib.import_module = clocked(importlib.import_module)
{prepare}
calls = []
for _ in range(2):
    before, began = importing, time.perf_counter()
    {call}
    calls.append(time.perf_counter() - began - (importing - before))
print(json.dumps([importing, *calls]))
"""

OURS = PROGRAM.format(
    prepare="""
from napari_smoother import deconvolve
from napari_smoother.sample_data import simulate_cortex
sample = simulate_cortex()
""",
    call="deconvolve(sample.section.adata.copy(), sample.reference)",
)

# The same section: log counts and mean log expression of each type.
PEER = PROGRAM.format(
    prepare="""
import numpy as np
import torch
from smoother.losses import SpatialLoss
from smoother.models.deconv import NNLS
from smoother.weights import SpatialWeightMatrix
data = np.load("section.npz")
x, y = torch.tensor(data["x"]).float(), torch.tensor(data["y"]).float()

def deconvolve():
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(data["positions"], k=6, verbose=False)
    loss = SpatialLoss("icar", weights, rho=0.99, standardize_cov=False)
    NNLS().deconv(x, y, spatial_loss=loss, lambda_spatial_loss=1.0, quiet=True)
""",
    call="deconvolve()",
)


@contextmanager
def fresh_home() -> Iterator[dict[str, str]]:
    """Give an environment whose caches and settings are empty."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    kept = {name: value for name, value in kept.items() if not name.startswith("XDG_")}
    with tempfile.TemporaryDirectory() as home:
        yield kept | {"HOME": home, "NAPARI_SMOOTHER_VIRTUAL_DISPLAY": "1"}


def forget_compiled(clone: Path) -> None:
    """Remove what earlier processes compiled beside the sources."""
    subprocess.run(["git", "clean", "-fdxq", "*__pycache__*"], cwd=clone / "src", check=True)


def start_demonstration(clone: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return seconds until the picture of the composition is written, and until the end."""
    picture = clone / "demo.png"
    picture.unlink(missing_ok=True)
    began, written = time.perf_counter(), float("nan")
    command = ["bash", "scripts/with_display.sh", ".venv/bin/napari-smoother", "demo"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command, "--screenshot-without-display", str(picture)],
            cwd=clone,
            env=environment,
            stdout=said,
            stderr=said,
        )
        while process.poll() is None:
            if np.isnan(written) and picture.exists():
                written = time.perf_counter() - began
            if time.perf_counter() - began > PATIENCE:
                process.kill()
            time.sleep(0.02)
        ended = time.perf_counter() - began
        if process.returncode != 0:
            said.seek(0)
            print(said.read().decode(errors="replace"), file=sys.stderr)
    return written, ended


def run_program(
    python: Path, program: str, folder: Path, environment: dict[str, str]
) -> tuple[float, float, float]:
    """Return seconds of the imports, of the first and of the second call."""
    done = subprocess.run(
        [str(python), "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    importing, first, second = json.loads(done.stdout.splitlines()[-1])
    return importing, first, second


def write_section(folder: Path) -> int:
    """Write the section that the programs simulate as arrays; return its number of spots."""
    from napari_smoother.sample_data import simulate_cortex

    sample = simulate_cortex()
    adata, cells = sample.section.adata, sample.reference
    types = cells.obs["cell_type"].to_numpy()
    logged = np.log1p(np.asarray(cells.X.todense()))
    np.savez(
        folder / "section.npz",
        x=np.stack([logged[types == name].mean(axis=0) for name in np.unique(types)], axis=1),
        y=np.log1p(np.asarray(adata.X.todense())).T,
        positions=adata.obsm["spatial"],
    )
    return adata.n_obs


def report_demonstration(clone: Path) -> None:
    print("| `make demo`, after set-up | picture written, s | ended, s |\n|-|-|-|")
    forget_compiled(clone)
    with fresh_home() as environment:
        written = []
        for number in range(1, STARTS + 1):
            at, ended = start_demonstration(clone, environment)
            written.append(at)
            shown = "never" if np.isnan(at) else f"{at:.1f}"
            print(f"| start {number} | {shown} | {ended:.1f} |", flush=True)
    print(f"\nFirst against third start: {written[0] / written[-1]:.2f}\n")


def report_processes(clone: Path) -> None:
    with fresh_home() as environment, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_spots = write_section(folder)
        print(
            f"| deconvolving the simulated cortex, {n_spots:,} spots | imports, s "
            "| first call, s | second call, s | first / second |\n|-|-|-|-|-|"
        )
        forget_compiled(clone)
        python = clone / ".venv" / "bin" / "python"
        runs = [("first process", python, OURS), ("second process", python, OURS)]
        if find_spec("smoother"):
            runs.append(("smoother-omics", Path(sys.executable), PEER))
        for name, interpreter, program in runs:
            taken = run_program(interpreter, program, folder, environment)
            importing, first, second = taken
            cells = f"{importing:.2f} | {first:.2f} | {second:.2f} | {first / second:.2f}"
            print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    checkout = parser.parse_args().checkout.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "-q", str(checkout), str(clone)], check=True)
        began = time.perf_counter()
        subprocess.run(["make", "setup"], cwd=clone, check=True, stdout=sys.stderr)
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=clone, check=True, capture_output=True
        )
        print(
            f"Commit {commit.stdout.decode().strip()}, set up in "
            f"{time.perf_counter() - began:.0f} s. The picture is taken 0.8 s after the last "
            "change of the window.\n"
        )
        report_demonstration(clone)
        report_processes(clone)


if __name__ == "__main__":
    main()
