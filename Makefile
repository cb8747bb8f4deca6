# One door to everything that is done here. Needs Python 3.11 or later, and nothing else.

VENV   ?= .venv
# Which Python the environment is made with; empty: the first one found that is new enough.
PYTHON ?=
# Which tests `make test` runs: an expression over pytest's markers.
MARKS  ?= not slow
# How many run side by side: a number, or as many as there are cores.
BESIDE ?= auto
# What else pytest is told, such as --last-failed.
MORE   ?=
# How often `make bench-peers` measures each product, in turns.
ROUNDS ?= 5

BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check fix clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## See Rush run a pipeline on a year of real flights
	@$(BIN)/rush demo --full rush-demo

test: $(VENV)/.dev ## Test on a PostgreSQL of its own, in some minutes
	@$(BIN)/python -m pytest -n $(BESIDE) -m "$(MARKS)" $(MORE)

test-slow: $(VENV)/.dev ## Run the tests that take longer
	@$(BIN)/python -m pytest -n $(BESIDE) -m slow $(MORE)

check: $(VENV)/.dev ## Check format, lint, types and layers
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

fix: $(VENV)/.dev ## Format, and mend what can be mended by itself
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

# What else `make bench-pages` is told: `FLAGS="--rows 10000000 --ready 1000000"` for a history of years.
.PHONY: bench bench-peers bench-parts bench-pages bench-growth zombies

bench: $(VENV)/.demo ## Measure Rush alone, in about two minutes
	@$(BIN)/python -m benchmarks

bench-peers: $(VENV)/.demo ## Measure it beside PgQueuer, procrastinate and DBOS, in about an hour
	@$(BIN)/python -m benchmarks --peers --rounds $(ROUNDS)

bench-parts: $(VENV)/.dev ## Measure how fluid the parts of the pages are, in about a minute
	@$(BIN)/python -m benchmarks.parts

bench-pages: $(VENV)/.dev ## Measure the dashboard and the API beside a history of FLAGS' size
	@$(BIN)/python -m benchmarks.pages $(FLAGS)

bench-growth: $(VENV)/.demo ## Measure how it changes with size and time, in about ten minutes
	@$(BIN)/python -m benchmarks.growth

zombies: $(VENV)/.demo ## Freeze and kill workers, of Rush and its peers, in about 20 minutes
	@$(BIN)/python -m benchmarks.zombies

# What `make chaos` breaks is chosen by SEED, for LENGTH seconds; FLAGS may say `--defaults`.
SEED   ?= 1
LENGTH ?= 60
# How many definitions `make fuzz` tries.
CASES  ?= 100000

.PHONY: bank chaos fuzz sweeps recovery

bank: $(VENV)/.dev ## Move money in jobs while workers are killed and frozen and the server crashes
	@$(BIN)/python -m pytest tests/acceptance/test_bank.py -s -q

chaos: $(VENV)/.dev ## Break things at random for LENGTH seconds, and read the history
	@$(BIN)/python -m tests.chaos --seed $(SEED) --seconds $(LENGTH) $(FLAGS)

fuzz: $(VENV)/.dev ## Try CASES definitions of SEED, right and wrong
	@$(BIN)/python -m tests.fuzz --cases $(CASES) --seed $(SEED)

sweeps: $(VENV)/.dev ## Break a worker's life at every message, in about half an hour
	@$(BIN)/python -m tests.sweeps --all $(FLAGS)

recovery: $(VENV)/.dev ## Measure how soon others have what a worker had, in about half an hour
	@$(BIN)/python -m tests.recovery

# How many stories `make models` tells, from SEED.
EXAMPLES ?= 1000

.PHONY: models

models: $(VENV)/.dev ## Hold the protocol against models of it, in EXAMPLES stories
	@RUSH_MODEL_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/models tests/pairs -s --hypothesis-seed=$(SEED)

.PHONY: pictures

pictures: $(VENV)/.dev ## Take the pictures of the dashboard anew, in about a minute
	@$(BIN)/python -m docs.make_pictures

.PHONY: mutants

mutants: $(VENV)/.dev ## Plant bugs in copies of the source, and see that tests catch them
	@$(BIN)/python -m tests.mutants $(FLAGS)

# As root the server's files may lie outside of .rush, which then has a link to them: see
# src/rush/store/embedded.py. Another link is not followed.
clean: ## Stop the servers of the demo and of tries here, and remove all that was made here
	@for folder in rush-demo .; do \
		[ -e $$folder/.rush ] || continue; \
		if [ -x $(BIN)/rush ]; then \
			env -u RUSH_DATABASE_URL -u DATABASE_URL $(BIN)/rush db stop --project $$folder || exit; \
		fi; \
		home=$$(readlink $$folder/.rush/postgres) || continue; \
		case $${home#/var/tmp/rush-} in \
			*/*) ;; \
			*) echo "rm -rf $$home"; rm -rf "$$home" ;; \
		esac; \
	done
	rm -rf $(VENV) .rush rush-demo .hypothesis .pytest_cache .ruff_cache .import_linter_cache dist build

# The environment. What is installed is renewed when pyproject.toml has changed since, and
# when the Python that it was made with has gone.
$(shell [ -x $(BIN)/python ] || rm -f $(VENV)/.demo $(VENV)/.dev)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "installing Rush into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing Rush and the tools for its development into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[demo,dev]'
	@touch $(VENV)/.demo $@

$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { bare=$$python; continue; }; \
		echo "making $(VENV) with $$("$$python" --version) ($$(command -v "$$python"))"; \
		exec "$$python" -m venv --clear $(VENV); \
	done; \
	if [ -n "$$bare" ]; then \
		echo "$$bare comes without its module venv. On Debian and Ubuntu: apt install python3-venv"; \
	else \
		echo "Rush needs Python 3.11 or later, and found none: install one, or name it: make PYTHON=/path/to/python3"; \
	fi >&2; \
	exit 1
