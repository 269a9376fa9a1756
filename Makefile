# Thin wrappers; each target says the commands that it runs, for systems without make.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
CHECKED := ctcasr tests benchmarks recipes

.PHONY: demo test check corpus format clean

demo: $(VENV)/.installed ## transcribe real recordings with the built-in model
	$(BIN)/ctcasr demo

test: $(VENV)/.installed-dev ## run the tests that need no corpus and no GPU
	$(BIN)/python -m pytest -m "not gpu and not corpus"

check: $(VENV)/.installed-dev ## what CI runs: format, lint, types, import contract, tests
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not gpu and not corpus"

corpus: $(VENV)/.installed-dev ## tests on the corpora in CTCASR_CORPORA or ../shared/data
	$(BIN)/python -m pytest -m corpus

format: $(VENV)/.installed-dev
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/ruff check --fix $(CHECKED)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	$(BIN)/python -c "open('$@', 'w').close()"

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -c "open('$(VENV)/.installed', 'w').close()"
	$(BIN)/python -c "open('$@', 'w').close()"

clean:
	$(PYTHON) -c "import shutil; shutil.rmtree('$(VENV)', ignore_errors=True)"
