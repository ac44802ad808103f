"""Build source distribution and wheels, check them, and use them in empty environments.

python scripts/build_wheels.py FOLDER PYTHON [PYTHON ...]   (Linux)
python scripts/build_wheels.py --use-only FOLDER PYTHON [PYTHON ...]

Interpreters that do not start are left out. The environment of the first gets everything that the
package needs, those of the others do without torch and napari, which are large; with --use-only,
which takes the wheels that are in the folder, all of them do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LARGE = {"napari", "torch"}
STABLE = (3, 12)
"""From this version on, one wheel serves all."""


def run(*command: object, **settings: object) -> str:
    """Run a command and return what it wrote, or end with it."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    done = subprocess.run(
        words, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **settings
    )
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\n{words[0]} failed with code {done.returncode}")
    return done.stdout


def interpreters(names: list[str]) -> dict[tuple[int, int], str]:
    """Return the interpreters that start, by version, each version once."""
    found: dict[tuple[int, int], str] = {}
    for name in names:
        program = shutil.which(name)
        question = "import sys; print(sys.version_info[0], sys.version_info[1])"
        answer = program and subprocess.run(
            [program, "-c", question], check=False, capture_output=True, text=True
        )
        if not answer or answer.returncode != 0:
            print(f"{name} is not here: left out")
            continue
        major, minor = answer.stdout.split()
        found.setdefault((int(major), int(minor)), program)
    if not found:
        raise SystemExit("None of these interpreters is here")
    return found


def build(python: str, source: Path, folder: Path) -> None:
    """Build a wheel from the source distribution, repair it and check it."""
    with tempfile.TemporaryDirectory() as scratch:
        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", scratch, source)
        (raw,) = Path(scratch).glob("*.whl")
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, raw)
    # The name without its platform, which is another now.
    (wheel,) = folder.glob(raw.stem.rsplit("-", 1)[0] + "-*.whl")
    print(run(sys.executable, "-m", "auditwheel", "show", wheel))
    if "-abi3-" in wheel.name:
        print(run(sys.executable, "-m", "abi3audit", "--strict", "--summary", wheel))


def use(python: str, folder: Path, complete: bool) -> None:
    """Install the wheel where nothing can be compiled, and run the smoke test."""
    with tempfile.TemporaryDirectory() as scratch:
        run(python, "-m", "venv", scratch)
        inside = Path(scratch) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install = [inside, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        chosen = [name for name in needed if complete or Requirement(name).name not in LARGE]
        run(*install, "--constraint", ROOT / "constraints.txt", *chosen)
        run(*install, "--no-deps", "--no-index", "--find-links", folder, "napari-smoother")
        environment = {**os.environ, "PATH": ""}
        environment.pop("PYTHONPATH", None)
        print(run(inside, ROOT / "scripts" / "smoke_test.py", cwd=scratch, env=environment))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--use-only", action="store_true")
    parser.add_argument("folder", type=Path)
    parser.add_argument("python", nargs="+")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    found = interpreters(chosen.python)
    if not chosen.use_only:
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
        (source,) = folder.glob("*.tar.gz")
        for version in sorted(found):
            build(found[version], source, folder)
            if version >= STABLE:
                break
    for number, python in enumerate(found.values()):
        use(python, folder, complete=number == 0 and not chosen.use_only)
    print("Used:", *sorted(path.name for path in folder.glob("*.whl")))


if __name__ == "__main__":
    main()
