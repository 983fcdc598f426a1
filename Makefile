# Each target prepares .venv from requirements.txt first; a finished .venv is left alone until that file changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
OLDEST := .venv-oldest
RECORDED := book/results/benchmarks

.DEFAULT_GOAL := help
.PHONY: help book test oldest lab regress bench lint format clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed and $(PYTHON) is older; name one: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

book: $(READY)  ## execute every chapter on the embedded data and build _build/html/index.html
	$(BIN)/python -m tools.build_book

test: $(READY)  ## the tests; ARGS=... is handed on, here and to regress
	$(BIN)/python -m pytest $(ARGS)

oldest: $(OLDEST)/.ready  ## the library's tests with the oldest versions that pyproject.toml allows
	$(OLDEST)/bin/python -m pytest $(ARGS) \
	  $(filter-out tests/test_book_build.py tests/test_built_book.py tests/test_repository.py,$(wildcard tests/test_*.py))

$(OLDEST)/.ready: pyproject.toml
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check ipykernel psutil pytest pytest-timeout hypothesis \
	  $$($(PYTHON) -c 'import tomllib; \
	    print(*(d.replace(">=", "==") for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]))')
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

lab: $(READY)  ## JupyterLab on the chapters
	$(BIN)/jupyter lab book/chapters

regress: $(READY)  ## execute the chapters, compare their numbers with the recorded baselines
	$(BIN)/python -m landscape_helpers regress $(ARGS)

bench: $(READY) $(PEERS)/.ready  ## the benchmarks, those against public tools with these in an environment of their own
	@set -e; for name in correlation_overhead step_losses explorer_latency; do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done
	@echo "== tracking"; $(BIN)/python benchmarks/tracking.py --json $(RECORDED)/tracking.json
	@set -e; for name in eigenpairs surfaces density_trace; do echo "== $$name"; \
	  $(PEERS)/bin/python benchmarks/$$name.py --json $(RECORDED)/$$name.json; done

$(PEERS)/.ready: benchmarks/requirements.txt pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

lint: $(READY)  ## ruff on code and notebooks, types, no outputs in notebooks
	$(BIN)/ruff check .
	$(BIN)/mypy
	git ls-files '*.ipynb' | xargs $(BIN)/nbstripout --keep-id --verify

format: $(READY)  ## what lint can mend by itself
	$(BIN)/ruff check --fix .
	git ls-files '*.ipynb' | xargs $(BIN)/nbstripout --keep-id

clean:  ## what was built and cached, not .venv
	rm -rf _build build .cache .pytest_cache .mypy_cache .ruff_cache

distclean: clean  ## and .venv
	rm -rf $(VENV) $(PEERS) $(OLDEST)
