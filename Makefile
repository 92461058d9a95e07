# `make demo` and `make test` need cargo and Python >= 3.10, and download the rest.

PYTHON ?= python3
# The time for each fuzz target.
SECONDS ?= 15
# The time for which a reader of `make soak` reads next to savers, on each server.
SOAK ?= 3600
PIP := -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find rust python Cargo.toml Cargo.lock pyproject.toml README.md LICENSE -type f \
	-not -path '*/__pycache__/*' -not -name '*.so')
# zig links the published wheel against an old glibc, on any machine.
ifeq ($(shell uname -s),Linux)
MANYLINUX := --zig --compatibility manylinux2014
endif
DEV := .venv-dev/bin
# Selecting all packages gives each crate the features that the wheel of the tests compiled it with.
CARGO_TEST := cargo test --locked --profile fast --package llem-store --package llem-remote --package llem-python
PYTEST_TEST := LLEM_TEST_INSTALLED=1 .venv-test/bin/python -m pytest
PYTEST_FULL := LLEM_TEST_INSTALLED=1 LLEM_TEST_OPTIONAL=1 .venv-full/bin/python -m pytest
S3S := $(CURDIR)/.make/s3s/bin
FUZZ := .make/cargo-fuzz/bin/cargo-fuzz
# The tests of a real object store that `make extra` runs, by names.
SHORT := verbs or bad or credentials or parity or cut_off
GROUPS := build test remote lint optional
LOCK := $(DEV)/python -m uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header --no-annotate \
	--no-emit-index-url
STEP := $(MAKE) --no-print-directory

.PHONY: help demo test extra test-all dev check lint format pictures lock wheel test-python test-crates \
	test-remote soak test-unit lint-rust lint-python build-crates build-fuzz fuzz-short crash-short crash sweep fuzz \
	bench bench-bulk bench-imports bench-scan bench-scale bench-slow bench-peers clean

help:
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) ":" } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ First
demo: ## compile and install the package, save a small synthetic sweep, and show it
	@echo "step 1 of 2: compile the extension and install the package into .venv-demo"
	@$(STEP) --jobs=2 .make/demo-env
	@echo "disk use in MB (make clean frees it):" && du -sm target .venv-dev .venv-demo
	@echo "step 2 of 2: run llem demo"
	@.venv-demo/bin/llem demo

test: ## test the crates and the installed wheel: unit, command line, races
	@echo "step 1 of 3: compile the tests and install the wheel into .venv-test"
	@$(STEP) --jobs=2 .make/test-env build-crates
	@echo "step 2 of 3: test the crates"
	@$(STEP) test-crates
	@echo "step 3 of 3: test the wheel"
	@$(STEP) test-python

extra: ## run what `make test` leaves out, on the published wheel: crashes, engines, lint, fuzz, bench
	@echo "step 1 of 4: build the published wheel and the fuzz targets, and check the sources"
	@$(STEP) .make/zig
	@$(STEP) --jobs=2 .make/full-env lint build-fuzz
	@echo "step 2 of 4: run the tests of optional packages, and those that put many values through the extension"
	$(PYTEST_FULL) -n 2 --dist worksteal -m "optional or published" tests/unit tests/cli
	$(PYTEST_FULL) -n 2 --dist loadfile tests/engines
	LLEM_REMOTE=seaweedfs $(PYTEST_FULL) -n 2 --dist worksteal tests/remote -k "$(SHORT)"
	@echo "step 3 of 4: run the crash tests, and fuzz (an input that this finds by chance does not fail the change)"
	@$(STEP) --jobs=2 crash-short fuzz-short
	@echo "step 4 of 4: run a short bench"
	@$(STEP) bench ARGS="--rounds 3 --results 20"

test-all: ## run every test and check
	@$(STEP) test
	@$(STEP) extra

##@ Development
dev: .make/dev ## install the sources into .venv-dev, editable, with all that tests and checks need

check: ## format, lint, types and unit tests without the slow ones; a minute after the first time
	@$(STEP) --jobs=3 lint-rust lint-python test-unit

lint: lint-rust lint-python ## clippy, rustfmt, rustdoc, ruff, import rules, mypy, stubtest

format: .make/dev-env ## rewrite the sources in their house style
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(DEV)/ruff check --fix-only
	$(DEV)/ruff format

pictures: .make/full-env ## draw the pictures of the README from the demo
	.venv-full/bin/python tools/pictures.py $(ARGS)

lock: .make/maturin ## pin the dependencies anew, in requirements/
	$(DEV)/python $(PIP) uv
	$(LOCK) pyproject.toml $(GROUPS:%=--group %) --output-file .make/lock.txt
	$(LOCK) pyproject.toml --constraint .make/lock.txt --output-file requirements/run.txt
	for group in $(GROUPS); do $(LOCK) --group pyproject.toml:$$group --constraint .make/lock.txt \
		--output-file requirements/$$group.txt; done

wheel: .make/dist-wheel ## build the wheel that is published, into dist/
	@ls -l dist/*.whl

clean: ## remove everything that was built
	rm -rf target fuzz/target dist build .make .venv-* python/llenergymeasure/_store*.so

##@ Parts and long forms
test-python: .make/test-env ## the tests of `make test` that run the wheel (ARGS="-k name")
	$(PYTEST_TEST) -n 2 --dist worksteal tests/unit tests/cli $(ARGS)
	$(PYTEST_TEST) -n 2 --dist worksteal tests/race $(ARGS)
	$(PYTEST_TEST) -n 2 --dist worksteal tests/remote $(ARGS)

test-remote: .make/test-env .make/remote-packages .make/s3s-fs ## the tests of object stores, on SeaweedFS and Ceph
	PATH="$(S3S):$$PATH" LLEM_REMOTE=seaweedfs,ceph $(PYTEST_TEST) tests/remote $(ARGS)

soak: .make/test-env .make/remote-packages ## thousands of saves on moto, SeaweedFS and Ceph, and an hour of reads (SOAK=600)
	LLEM_SOAK=$(SOAK) LLEM_REMOTE=moto,seaweedfs,ceph $(PYTEST_TEST) -rP tests/remote/test_soak.py \
		tests/remote/test_hosts.py tests/remote/test_race.py tests/remote/test_requests.py tests/remote/test_faults.py \
		-k "reader or cut_off or 16_processes or 16_savers or savers_through_losses" $(ARGS)

test-crates: ## the tests of the crates
	$(CARGO_TEST)
	$(CARGO_TEST) --tests --features llem-store/plain-dir

crash: .make/full-env ## the long form of the crash tests, as root; the report goes to .make/crash-report.md
	LLEM_CRASH=long $(PYTEST_FULL) tests/crash $(ARGS)

sweep: .make/test-env ## a sweep of 2000 runs on 8 processes that is killed ten times
	LLEM_SWEEP=long $(PYTEST_TEST) tests/race/test_sweep.py $(ARGS)

fuzz: ## feed hostile names, traces, records and trees to the store; needs a nightly toolchain (SECONDS=150)
	fuzz/run.sh $(SECONDS) $(FUZZ)

bench: ## measure saving and loading against the baseline (ARGS="--json out.json")
bench-bulk: ## measure saving many at once, on fresh disks if root (ARGS="--disk ext4:5 --long")
bench-imports: ## measure the import of records of vLLM against save_many of the same results (ARGS="--records 100000")
bench-scan: ## measure reading a tree against the baseline, orjson, DuckDB (ARGS="--long")
bench-scale: ## measure how costs grow with the number of results (ARGS="--sizes 10000,1000000 --disk xfs:24")
bench-slow: ## measure a scan on a disk whose calls take 1 ms, as root (ARGS="--ms 5")
bench bench-bulk bench-imports bench-scan bench-slow: .make/full-env
	.venv-full/bin/python benches/$(patsubst bench-%,%,$@).py $(ARGS)

bench-scale: .make/full-env .make/peers-env
	.venv-full/bin/python benches/scale.py --peers .venv-peers/bin/python $(ARGS)

bench-peers: .make/peers-env .make/published-env ## measure against MLflow, Sacred, signac, SQLite and others
	PYTHONPATH=benches .venv-peers/bin/python -m peers.run --published .venv-peers-0.7.0/bin/python $(ARGS)

# The profile of cargo keeps these apart from maturin, whose environment would make cargo compile pyo3 anew.
lint-rust:
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --quiet --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --locked --workspace --no-deps

lint-python: .make/dev
	$(DEV)/ruff check
	$(DEV)/ruff format --check
	$(DEV)/lint-imports
	$(DEV)/mypy
	cd .venv-dev && bin/python -m mypy.stubtest --concise --ignore-missing-stub llenergymeasure._store

test-unit: .make/dev
	$(DEV)/python -m pytest -n 2 --dist worksteal -q -m "not slow" tests/unit

# Linking the published wheel leaves a core idle, and so do the crash tests.
build-fuzz:
	@fuzz/run.sh 0 $(FUZZ) || echo "make fuzz: FAILED to compile, see above"

fuzz-short:
	@fuzz/run.sh $(SECONDS) $(FUZZ) || echo "make fuzz: FAILED, see above"

crash-short:
	$(PYTEST_FULL) tests/crash

build-crates:
	$(CARGO_TEST) --no-run
	$(CARGO_TEST) --no-run --tests --features llem-store/plain-dir

# One interpreter runs maturin everywhere, so that cargo does not compile pyo3 again for another path.
.make/maturin: requirements/build.txt
	@mkdir -p .make
	test -d .venv-dev || $(PYTHON) -m venv .venv-dev
	$(DEV)/python $(PIP) --constraint requirements/build.txt maturin
	@touch $@

.make/demo-wheel .make/test-wheel: .make/%-wheel: $(SOURCES) .make/maturin
	rm -rf .make/$*
	. $(DEV)/activate && maturin build --profile fast --locked --auditwheel skip --out .make/$* $(WHEEL_OPTIONS)
	@touch $@

# Without object stores, the demo is there after two minutes, not four.
.make/demo-wheel: WHEEL_OPTIONS := --no-default-features

.make/zig: .make/maturin
	$(DEV)/python $(PIP) --requirement requirements/build.txt
	@touch $@

.make/dist-wheel: $(SOURCES) .make/zig
	rm -rf dist
	. $(DEV)/activate && maturin build --profile dist --locked --out dist $(MANYLINUX)
	@touch $@

# pip installs the dependencies while cargo compiles.
.make/demo-packages: PACKAGES := run
.make/test-packages: PACKAGES := run test
.make/full-packages: PACKAGES := run test optional remote
.make/demo-packages .make/test-packages .make/full-packages: .make/%-packages: $(wildcard requirements/*.txt)
	@mkdir -p .make
	rm -rf .venv-$*
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python $(PIP) $(PACKAGES:%=--requirement requirements/%.txt)
	@touch $@

.make/demo-env .make/test-env: .make/%-env: .make/%-packages .make/%-wheel
	.venv-$*/bin/python $(PIP) --force-reinstall --no-deps .make/$*/*.whl
	@touch $@

.make/remote-packages: .make/test-packages
	.venv-test/bin/python $(PIP) --requirement requirements/remote.txt
	@touch $@

# A server that checks conditions without atomicity.
.make/s3s-fs:
	cargo install --quiet --locked --root .make/s3s --version 0.14.1 --features binary s3s-fs
	@touch $@

.make/full-env: .make/full-packages .make/dist-wheel
	.venv-full/bin/python $(PIP) --force-reinstall --no-deps dist/*.whl
	@touch $@

.make/dev-env: .make/maturin requirements/run.txt requirements/test.txt requirements/lint.txt
	$(DEV)/python $(PIP) $(patsubst %,--requirement requirements/%.txt,run test lint)
	@touch $@

.make/dev: $(filter-out python/%,$(SOURCES)) .make/dev-env
	. $(DEV)/activate && maturin develop --quiet --profile fast --locked
	@touch $@

# A peer that cannot be installed is absent from the run, and tried again in the next.
.make/peers-env: .make/dist-wheel benches/peers/requirements.txt
	rm -rf .venv-peers
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python $(PIP) --constraint benches/peers/requirements.txt setuptools dist/*.whl
	@touch $@
	for peer in "mlflow-skinny alembic sqlalchemy pandas" sacred signac atomicwrites; do \
		.venv-peers/bin/python $(PIP) --constraint benches/peers/requirements.txt $$peer || rm -f $@; \
	done

.make/published-env: benches/peers/requirements-0.7.0.txt
	@mkdir -p .make
	rm -rf .venv-peers-0.7.0
	$(PYTHON) -m venv .venv-peers-0.7.0
	if .venv-peers-0.7.0/bin/python $(PIP) --requirement $<; then touch $@; fi
