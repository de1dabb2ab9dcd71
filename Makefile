# Two commands: `make demo` runs the main job, `make test` runs the tests. Both set everything up first.
#
#   make demo [PHOTOS=~/Pictures] [MODEL=facebook/convnext-tiny-224] [PORT=7860]
#   make check        format, lint and types          make test-long    the tests that take minutes
#   make bench        measurements beside named peers (needs REGCONV_DATA)
#   make screenshots  the pictures of the page in docs/screenshots (needs Chromium)

PYTHON ?= python3
PORT ?= 7860
PHOTOS ?=
MODEL ?=

BIN := .venv/bin
# Recipes read these two from the environment, so that a name may have spaces and quotes in it; app.py knows what ~ is.
export PHOTOS MODEL
# faiss-gpu where there is a GPU to use it; the two FAISS packages must never be installed together.
REQUIREMENTS := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements-gpu.txt || echo requirements.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-long check format bench screenshots setup setup-dev

demo: setup
	$(BIN)/python app.py demo --library demo $(if $(PHOTOS),--photos "$$PHOTOS") $(if $(MODEL),--model "$$MODEL") --port $(PORT)

test: setup-dev
	$(BIN)/python -m pytest

test-long: setup-dev
	$(BIN)/python -m pytest -m slow

check: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup-dev
	for name in main_job decode draft; do $(BIN)/python -m bench.$$name || exit 1; done

screenshots: setup-dev
	$(BIN)/python -m docs.screenshots

setup: .venv/.for-users
setup-dev: .venv/.for-developers

.venv/.for-users: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "RegConv needs Python 3.11 or newer; PYTHON=python3.12 make ... names another."; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install torch==2.13.0
	$(PIP) install -r $(REQUIREMENTS)
	@touch $@

.venv/.for-developers: requirements-dev.txt requirements-jax.txt requirements-tensorflow.txt .venv/.for-users
	$(PIP) install -r requirements-dev.txt
	$(PIP) install -r requirements-jax.txt -r requirements-tensorflow.txt || { test -z "$$CI" && echo "No JAX or TensorFlow for this Python: their tests are skipped by name."; }
	@touch $@
