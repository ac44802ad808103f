# Two commands: `make demo` opens a simulated section in napari, `make test` runs every check.
# Each sets up what is missing first: system libraries, .venv, pinned requirements.
# `make benchmarks` writes benchmarks/RESULTS.md, beside peers that partly have .venv-benchmarks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

BENCHMARKS := .venv-benchmarks
BENCHMARKS_READY := $(BENCHMARKS)/.ready

.PHONY: demo test lint screenshots benchmarks setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/system_libraries.sh
	bash scripts/system_libraries.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $(READY)

demo: setup
	bash scripts/with_display.sh $(BIN)/napari-smoother demo --screenshot-without-display demo.png

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	bash scripts/with_display.sh $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 \
		--dist=loadfile

screenshots: setup
	bash scripts/with_display.sh $(BIN)/python scripts/screenshots.py docs/images

$(BENCHMARKS_READY): pyproject.toml benchmarks/constraints.txt scripts/system_libraries.sh
	bash scripts/system_libraries.sh
	$(PYTHON) -m venv $(BENCHMARKS)
	$(BENCHMARKS)/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt \
		--editable ".[benchmark]"
	touch $(BENCHMARKS_READY)

benchmarks: setup $(BENCHMARKS_READY)
	bash scripts/with_display.sh $(BIN)/python benchmarks/run_all.py live_preview losses solver \
		one_million deconvolution reduction imputation
	$(BENCHMARKS)/bin/python benchmarks/run_all.py graph flashdeconv_comparison

clean:
	rm -rf $(VENV) $(BENCHMARKS) demo.png
