SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := stafett workflows activities api worker.py tests benchmarks
STAMP := $(VENV)/.locked
DATA_DIR ?= .stafett
TOGETHER := --numprocesses 3 --dist loadgroup
export UV_NO_PROGRESS := 1

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create or repair .venv from the lock files (a no-op when nothing changed)
	@bash deploy/setup.sh "$(PYTHON)" "$(VENV)"

demo: setup ## The whole real stack, one complete run through it, files in demo-output/
	@$(BIN)/stafett demo

dev: setup ## The stack, a worker and the API until Ctrl-C
	@$(BIN)/stafett dev --data-dir "$(DATA_DIR)"

fmt: setup ## Format the code and apply safe fixes
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lint: setup ## Formatting, lint, types, architecture rules
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

test: lint ## Everything a contributor must pass
	@$(BIN)/python -m pytest $(TOGETHER)

coverage: setup ## The same tests, and which lines and branches they reach
	@$(BIN)/python -m pytest $(TOGETHER) --cov --cov-report=term

soak: setup ## The long forms: seeded faults for SOAK_MINUTES (5), from SOAK_SEED (0)
	@$(BIN)/python -m pytest -m soak

bench: setup ## The benchmarks, each beside its peers in one run
	@$(BIN)/python -m benchmarks

lock: setup ## Resolve the lock files anew
	@bash deploy/lock.sh "$(BIN)"

clean: ## Remove what the targets made
	@rm -rf $(VENV) $(DATA_DIR) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

.PHONY: help setup demo dev fmt lint test coverage soak bench lock clean
