# Everything a newcomer needs: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint docs test-slow test-browser test-integrations bench clean

demo: $(VENV)/.installed ## Install, rescue a small classifier, show where its report is.
	$(BIN)/everyclass demo

# A process per core, each with one thread: threads that wait for each other's core are slower.
test: $(VENV)/.tested-with ## Fast tests: minutes on two cores.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

lint: $(VENV)/.developed-with ## Style, types, and the floors of docs/architecture.md.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv-docs/.installed ## The manual into site/, strictly: a bad link or an unlisted name fails.
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

test-slow: $(VENV)/.tested-with ## Every test; EVERYCLASS_DATA names the folder with CIFAR.
	$(BIN)/python -m pytest

test-browser: $(VENV)/.tested-with ## The report in Debian's chromium, which apt-get installs.
	@command -v chromium >/dev/null || { echo "chromium is not installed: apt-get install chromium"; exit 2; }
	$(PIP) install -q -c constraints.txt -e ".[browser]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/reporting/test_report_in_browser.py

# 5.5 GB of other people's libraries, in an environment of their own.
INTEGRATIONS := .venv-integrations

test-integrations: $(INTEGRATIONS)/.installed ## Against timm, transformers, lightning and the like.
	KERAS_BACKEND=torch OMP_NUM_THREADS=1 $(INTEGRATIONS)/bin/python -m pytest -n auto \
		--dist loadfile tests/integrations tests/nn/test_timm_backbones.py \
		tests/data/test_picture_files.py src/everyclass/integrations
	$(INTEGRATIONS)/bin/python -m pytest tests/manual/test_pages.py -m slow

$(INTEGRATIONS)/.installed: pyproject.toml constraints-integrations.txt
	$(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip --disable-pip-version-check install -q \
		-c constraints-integrations.txt -e ".[integrations,examples,test]"
	@touch $@

bench: $(VENV)/.tested-with ## Speed and memory, as ratios within one run.
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) $(INTEGRATIONS) .venv-docs site everyclass-demo .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.tested-with: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e ".[test]"
	@touch $@

# Without torch: the reference is read from the sources.
.venv-docs/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		$$(.venv-docs/bin/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"])')
	@touch $@

$(VENV)/.developed-with: $(VENV)/.tested-with
	$(PIP) install -q -c constraints.txt -e ".[dev]"
	@touch $@
