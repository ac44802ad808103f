"""A million spots: seconds, residual and peak memory of cold starts, each in a process of its own.

    python benchmarks/one_million.py [--spots 1000000] [--weights 0.01 0.1 1 10 100]

A case is one section and one lambda. Its process reads A, C and Q, compiles, and only then looks
at the clock and at its memory. *Prepared* is checks and copies of A, C and Q; *solved* is the
first solve, from a cold start to the optimum, with what later ones find ready: the order of the
spots, their colours, coarser graphs. *Beyond input* is the largest resident set that was seen
while either ran, less what was resident before, when A, C and Q were already there.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from solver import GENES, TYPES, hexagonal, intrinsic_precision, irregular, simulate

SECTIONS = {
    "hexagonal": ("Hexagonal lattice, rho 0.99", hexagonal, 0.99, 1000),
    "irregular": ("Irregular positions, rho 0.99", irregular, 0.99, 1000),
    "intrinsic": ("Irregular positions, low counts, rho 1", irregular, 1.0, 300),
}


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class Peak:
    """Largest resident set while it is watched, looked at every few milliseconds."""

    def __enter__(self) -> Peak:
        self.before = self.bytes = resident()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.stop.wait(0.005):
            self.bytes = max(self.bytes, resident())

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.bytes = max(self.bytes, resident())

    @property
    def beyond(self) -> float:
        """Gigabytes above what was there before."""
        return (self.bytes - self.before) / 1e9


def make(section: str, spots: int, folder: Path) -> None:
    """Simulate a section and keep its A, C and Q in a file."""
    _, place, rho, depth = SECTIONS[section]
    positions = place(spots)
    gram, linear = simulate(positions, depth)
    np.savez(folder / "data.npz", gram=gram, linear=linear)
    sparse.save_npz(folder / "precision.npz", intrinsic_precision(positions, rho))


def one(folder: Path, strength: float) -> dict[str, object]:
    """Run one case in this process."""
    from napari_smoother.solvers import DataTerm, PriorTerm, solve_bounded_quadratic

    with np.load(folder / "data.npz") as kept:
        gram, linear = kept["gram"], kept["linear"]
    precision = sparse.csr_array(sparse.load_npz(folder / "precision.npz"))
    gc.collect()
    with Peak() as peak:
        began = time.perf_counter()
        data, prior = DataTerm.prepare(gram, linear), PriorTerm.prepare(precision)
        prepared = time.perf_counter() - began
        processor = time.process_time()
        solution = solve_bounded_quadratic(data, prior, strength * GENES / TYPES)
        processor = time.process_time() - processor
    return {
        "prepared": prepared,
        "solved": solution.seconds,
        "processor": processor,
        "steps": solution.steps,
        "zeros": float((solution.values <= 0).mean()),
        "residual": solution.residual,
        "converged": solution.converged,
        "beyond": peak.beyond,
        "method": solution.method,
    }


def measured(section: str, strength: float, spots: int, folder: Path) -> dict[str, object]:
    """Run one case in a new process."""
    command = [sys.executable, __file__, "--spots", str(spots), "--folder", str(folder)]
    run = subprocess.run(
        [*command, "--case", section, str(strength)], capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise SystemExit(f"{section}, lambda {strength:g} failed:\n{run.stderr}")
    found: dict[str, object] = json.loads(run.stdout)
    return found


def table(section: str, spots: int, weights: list[float], folder: Path) -> None:
    """Print the cases of one section."""
    if not (folder / "precision.npz").exists():
        make(section, spots, folder)
    print(f"\n**{SECTIONS[section][0]}**, {spots:,} spots, {TYPES} types, cold.\n")
    print(
        "| lambda | zeros | prepared s | solved s (cpu) | steps | residual | converged "
        "| beyond input, GB | method |\n|-|-|-|-|-|-|-|-|-|"
    )
    for strength in weights:
        found = measured(section, strength, spots, folder)
        print(
            f"| {strength:g} | {found['zeros']:.0%} | {found['prepared']:.2f} "
            f"| {found['solved']:.2f} ({found['processor']:.2f}) | {found['steps']} "
            f"| {found['residual']:.0e} | {found['converged']} | {found['beyond']:.2f} "
            f"| {found['method']} |",
            flush=True,
        )


def main() -> None:
    """Print one table a section, or one case as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spots", type=int, default=1_000_000)
    parser.add_argument("--weights", type=float, nargs="*", default=[0.01, 0.1, 1, 10, 100])
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--folder", type=Path, help="keep the simulated sections there")
    parser.add_argument("--case", nargs=2, metavar=("SECTION", "LAMBDA"))
    settings = parser.parse_args()
    if settings.case:
        print(json.dumps(one(settings.folder, float(settings.case[1]))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for section in settings.sections:
            folder = (settings.folder or Path(temporary)) / f"{section}-{settings.spots}"
            folder.mkdir(parents=True, exist_ok=True)
            table(section, settings.spots, settings.weights, folder)


if __name__ == "__main__":
    main()
