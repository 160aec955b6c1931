# Every target sets up what it needs: a virtual environment with pinned versions, made once.
# Wanted beforehand: Python >= 3.11 with pip, and make.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
WORKERS ?= auto

# One thread per test process: many small tensors gain nothing from more, and processes fight.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

DOCS_STAMP := .venv/.docs-stamp

.PHONY: help setup demo test lint docs report format clean

help:
	@echo "make demo    train and compare three classifiers on generated questions"
	@echo "make test    run all tests, with coverage"
	@echo "make lint    check style, spelling and types"
	@echo "make docs    build the documentation site in docs/_build/html, examples included"
	@echo "make report  redraw tables and pictures of the benchmarks from the kept results"
	@echo "make format  mend what ruff can mend"
	@echo "make clean   remove the environment and all caches"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "skrr2qc needs Python >= 3.11, but $(PYTHON) is older. Try: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e ".[test,lint,plot,data]"
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo

test: $(STAMP)
	$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 \
		--cov=skrr2qc --cov-report=term --cov-fail-under=90

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	@touch $@

# No warning is let pass, no reference may lead nowhere (-n), and nothing asks the network.
docs: $(DOCS_STAMP)
	$(TEST_ENV) $(BIN)/python -m sphinx -b html -W --keep-going -n docs docs/_build/html

# Computes no run; only what has changed in benchmarks/results shows.
report: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.report

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage build dist
	rm -rf docs/_build docs/auto_gallery docs/api/generated docs/sg_execution_times.rst
