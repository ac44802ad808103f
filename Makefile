# Two commands: `make demo` opens a simulated section in napari, `make test` runs every check.
# Each sets up what is missing first: system libraries, .venv, pinned requirements.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint screenshots setup clean

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
	bash scripts/with_display.sh $(BIN)/python -m pytest

screenshots: setup
	bash scripts/with_display.sh $(BIN)/python scripts/screenshots.py docs/images

clean:
	rm -rf $(VENV) demo.png
