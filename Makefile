# What people and CI type. `make demo` and `make test` need cargo and Python >= 3.10, and fetch the rest.

PYTHON ?= python3
WHEEL_ENV := .venv-wheel
TEST_ENV := .venv-test
DEMO_ENV := .venv-demo
PEERS_ENV := .venv-peers
PUBLISHED_ENV := .venv-peers-0.7.0
# Of each fuzz target.
SECONDS ?= 15
PIP := -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find rust python Cargo.toml Cargo.lock pyproject.toml README.md LICENSE -type f \
	-not -path '*/__pycache__/*')
# The oldest glibc the wheel runs on. zig links against it whatever this machine has.
MANYLINUX := --zig --compatibility manylinux_2_17
ifneq ($(shell uname -s),Linux)
MANYLINUX :=
endif

.PHONY: demo test wheel rust-test python-test lint format bench bench-bulk bench-scan bench-peers crash fuzz lock \
	clean help

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: .make/demo-env ## make a small synthetic sweep, save it, load it back, and show what is on disk
	$(DEMO_ENV)/bin/llem demo

test: python-test rust-test ## test the built wheel in a virtual environment of its own, then the crates

wheel: .make/wheel ## build the wheel into dist/
	@ls -l dist/*.whl

python-test: .make/test-env
	LLEM_TEST_INSTALLED=1 $(TEST_ENV)/bin/python -m pytest

rust-test:
	cargo test --locked --package llem-store
	cargo test --locked --package llem-store --lib --features plain-dir

lint: .make/test-env ## clippy, rustfmt, ruff, mypy, stubtest
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	$(TEST_ENV)/bin/ruff check
	$(TEST_ENV)/bin/ruff format --check
	$(TEST_ENV)/bin/mypy
	cd $(TEST_ENV) && bin/python -m mypy.stubtest --concise --ignore-missing-stub llenergymeasure._store

format: .make/test-env ## rewrite the sources in their house style
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(TEST_ENV)/bin/ruff check --fix-only
	$(TEST_ENV)/bin/ruff format

crash: .make/test-env ## the long form of the crash tests, as root; its figures go to .make/crash-report.md
	LLEM_TEST_INSTALLED=1 LLEM_CRASH=long $(TEST_ENV)/bin/python -m pytest tests/crash $(ARGS)

fuzz: ## feed the store hostile names, traces, records and trees, where there is a nightly (SECONDS=150)
	fuzz/run.sh $(SECONDS) .make/cargo-fuzz/bin/cargo-fuzz

bench: .make/test-env ## measure saving and loading against the floor and a plain Python store (ARGS="--json out.json")
	$(TEST_ENV)/bin/python benches/bench.py $(ARGS)

bench-bulk: .make/test-env ## measure saving many at once, on fresh disks where root is to be had (ARGS="--disk ext4:5 --long")
	$(TEST_ENV)/bin/python benches/bulk.py $(ARGS)

bench-scan: .make/test-env ## measure reading a tree against the floor, orjson and DuckDB (ARGS="--results 5000 --long")
	$(TEST_ENV)/bin/python benches/scan.py $(ARGS)

bench-peers: .make/peers-env .make/published-env ## measure beside MLflow, Sacred, signac, SQLite and others (ARGS="--rounds 3")
	PYTHONPATH=benches $(PEERS_ENV)/bin/python -m peers.run --published $(PUBLISHED_ENV)/bin/python $(ARGS)

lock: ## pin the development dependencies anew
	$(PYTHON) $(PIP) uv
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.10 --no-header --no-emit-index-url \
		--group pyproject.toml:checks --output-file requirements-dev.txt

clean: ## remove everything that was built
	rm -rf target dist build .make .venv-*

.make/wheel: $(SOURCES) requirements-dev.txt
	@mkdir -p .make
	test -d $(WHEEL_ENV) || $(PYTHON) -m venv $(WHEEL_ENV)
	$(WHEEL_ENV)/bin/python $(PIP) --constraint requirements-dev.txt maturin ziglang
	rm -rf dist
	. $(WHEEL_ENV)/bin/activate && maturin build --release --locked --out dist $(MANYLINUX)
	@touch $@

.make/test-env: .make/wheel
	rm -rf $(TEST_ENV)
	$(PYTHON) -m venv $(TEST_ENV)
	$(TEST_ENV)/bin/python $(PIP) --requirement requirements-dev.txt
	$(TEST_ENV)/bin/python $(PIP) --no-deps dist/*.whl
	@touch $@

.make/demo-env: .make/wheel
	rm -rf $(DEMO_ENV)
	$(PYTHON) -m venv $(DEMO_ENV)
	$(DEMO_ENV)/bin/python $(PIP) dist/*.whl
	@touch $@

# A peer that cannot be installed is absent from the run, and tried again at the next.
.make/peers-env: .make/wheel benches/peers/requirements.txt
	rm -rf $(PEERS_ENV)
	$(PYTHON) -m venv $(PEERS_ENV)
	$(PEERS_ENV)/bin/python $(PIP) --constraint benches/peers/requirements.txt setuptools dist/*.whl
	@touch $@
	for peer in mlflow-skinny sacred signac atomicwrites; do \
		$(PEERS_ENV)/bin/python $(PIP) --constraint benches/peers/requirements.txt $$peer || rm -f $@; \
	done

.make/published-env: benches/peers/requirements-0.7.0.txt
	@mkdir -p .make
	rm -rf $(PUBLISHED_ENV)
	$(PYTHON) -m venv $(PUBLISHED_ENV)
	if $(PUBLISHED_ENV)/bin/python $(PIP) --requirement $<; then touch $@; fi
