SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := stafett workflows activities api worker.py tests benchmarks tools
STAMP := $(VENV)/.locked
DATA_DIR ?= .stafett
PARALLEL := --numprocesses 3 --hypothesis-profile ci
export UV_NO_PROGRESS := 1

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create or repair .venv from the lock files (a no-op when nothing changed)
	@bash deploy/setup.sh "$(PYTHON)" "$(VENV)"

demo: setup ## Start the whole stack, run every kind of job once, save the files in demo-output/
	@$(BIN)/stafett demo

dev: setup ## Run the stack, a worker, the API and the console until Ctrl-C; API_PORT=N chooses the port
	@$(BIN)/stafett dev --data-dir "$(DATA_DIR)" $(if $(API_PORT),--api-port "$(API_PORT)")

fmt: setup ## Format the code and apply safe fixes
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

lint: setup ## Check formatting, lint, types, import contracts, names and words
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python tools/style_check.py

check: lint ## Run the fast tests: unit, column mapper, workflows, replay
	@$(BIN)/python -m pytest $(PARALLEL) tests/unit tests/column_mapper tests/workflows tests/replay

test: lint ## Run every test that a change must pass
	@$(BIN)/python -m pytest $(PARALLEL)

coverage: setup ## Run the tests with line and branch coverage
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

soak: setup ## Run the long forms of the tests; seeded faults for SOAK_MINUTES (5), from SOAK_SEED (0)
	@$(BIN)/python -m pytest --hypothesis-profile soak -m "soak or hypothesis"

bench: setup ## Run the benchmarks, each beside its peers in one run
	@$(BIN)/python -m benchmarks

lock: setup ## Resolve the lock files again
	@bash deploy/lock.sh "$(BIN)"

clean: ## Remove the files that the targets created
	@rm -rf $(VENV) $(DATA_DIR) demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

.PHONY: help setup demo dev fmt lint check test coverage soak bench lock clean
