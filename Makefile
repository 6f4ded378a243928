# `make demo` and `make test` do everything, set-up included; `make check` holds the style.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test check format bench clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# The base install: what an editor user gets. llama.cpp is compiled here, once.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# Torch first and by its own, so that the small CPU build is taken where the machine offers one.
$(VENV)/.installed-dev: $(VENV)/.installed tests/install-system-packages.sh
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install --quiet 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	sh tests/install-system-packages.sh
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m linewise.demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check server training tests
	$(BIN)/ruff format --check server training tests
	$(BIN)/mypy
	luacheck --quiet --config extension/neovim/.luacheckrc extension/neovim
	stylua --check extension/neovim

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix server training tests
	$(BIN)/ruff format server training tests
	stylua extension/neovim

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
