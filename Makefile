# Every target works on a machine with nothing but make and Python 3.11 or newer: the first one makes .venv and installs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two processes on one core each are faster than two that fight for both; RLOPT_THREADS=4 overrides.
JOBS ?= auto

SPHINX_IS_THERE = @$(BIN)/python -c 'import sphinx' 2>/dev/null || \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'

.PHONY: help install demo test test-browser cases lint docs linkcheck wheel format bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP)  ## make .venv and install rlopt with its development tools

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Error: rlopt needs Python 3.11 or newer, and $(PYTHON) is older. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dask,delta,excel,gym,int8,review,serve,sql]'
	touch $@

demo: $(STAMP)  ## simulate a shop, run the whole chain, show the true lift next to the estimated one
	$(BIN)/rlopt demo $(DEMO)

test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 20 $(TESTS)

test-browser: $(STAMP)  ## run the tests of pages in a real browser
	@$(BIN)/python -c 'import axe_playwright_python' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt axe-playwright-python playwright
	@for program in /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome; do test -x $$program && exit 0; done; \
		echo "There is no Chromium here: apt-get install chromium, or $(BIN)/playwright install --with-deps chromium." >&2; \
		ls "$${PLAYWRIGHT_BROWSERS_PATH:-$$HOME/.cache/ms-playwright}"/chromium* >/dev/null 2>&1
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser $(TESTS)

cases: $(STAMP)  ## inputs as users have them, expected and found (needs ../shared/cases)
	$(BIN)/python -m tests.cases

lint: $(STAMP)  ## ruff, mypy, the layer contract, spelling, house style, file lengths
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
# tests misspell on purpose
	git ls-files -z -- ':!tests' | xargs -0 $(BIN)/codespell
	git ls-files -z -- '*.md' 'rlopt/*.py' 'reward/*.py' 'envs/*.py' '*en.yaml' | xargs -0 $(BIN)/python .ci/house_style.py
	@long=$$(git ls-files '*.py' | xargs wc -l | awk '$$2 != "total" && $$1 > 400 {print $$2 ": " $$1 " lines"}'); \
		test -z "$$long" || { echo "Files past 400 lines:" >&2; echo "$$long" >&2; exit 1; }
	$(BIN)/mypy

docs: $(STAMP)  ## build the site of docs/ into build/docs, warnings are errors
	$(SPHINX_IS_THERE)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

linkcheck: $(STAMP)  ## ask every address that docs/ and docstrings link to (needs the network, so CI leaves it out)
	$(SPHINX_IS_THERE)
	$(BIN)/python -m sphinx -W --keep-going -q -b linkcheck docs build/linkcheck

wheel: $(STAMP)  ## build dist/*.whl, install it into an empty environment, run its quick demo (minutes)
	.ci/wheel

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench:  ## list the benchmarks (seconds to hours each); run one with .venv/bin/python
	@for file in tests/benchmarks/[!_]*.py; do printf '%-40s %s\n' "$$file" "$$(sed -n '1s/^"""//p' "$$file")"; done

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
