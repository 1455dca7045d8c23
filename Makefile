# The commands of this project; `make` alone lists them. Nothing is installed
# outside of .venv, but for `make peers`: the servers and clients that the tests
# and benchmarks talk to come from Debian's apt-get, and from PyPI into .peers.

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench peers venv constraints fuzz clean

VENV := .venv
BIN := $(VENV)/bin

IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
CANDIDATES := python3 python3.13 python3.12 python3.11
# The first supported interpreter; override with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(IS_SUPPORTED)' 2>/dev/null && { echo $$p; break; }; done)

# pip learnt --group in 25.1, and a fresh Debian brings 23.0: read the group here.
DEV_GROUP := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")
FROM_REPORT := import json, sys; found = [i["metadata"] for i in json.load(sys.stdin)["install"]]; \
	print(*sorted("==".join((m["name"].lower().replace("_", "-"), m["version"])) for m in found if m["name"] != "asyncdicom"), sep="\n")
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

FUZZ_S ?= 300
BENCH_ARGS ?= --short

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.installed ## Install into .venv, then show every part at work on this machine
	@$(BIN)/asyncdicom demo

# Most tests wait, for servers and for processes: two at a time keep each of two cores at work.
# Files are dealt out in their order, so that those that take longest, in tests/e2e, begin early.
TEST_WORKERS ?= 4
# Each of a thousand processes would compile the package again where Python is not to keep bytecode.
test: export PYTHONDONTWRITEBYTECODE :=
# What promises times has the machine for itself, behind all others.
ALONE := $(addprefix tests/e2e/test_,interrupts.py receive_faults.py)
test: $(VENV)/.developer peers ## Run all tests, against real peers where they are installed
	@code=0; \
	$(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
		$(ALONE:%=--ignore=%) $(PYTEST_ARGS) || code=1; \
	$(BIN)/python -m pytest -q $(ALONE) $(PYTEST_ARGS) || code=1; \
	exit $$code

lint: $(VENV)/.developer ## Check style, types and layers
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check
	@$(BIN)/mypy --no-error-summary
	@log=$$($(BIN)/lint-imports --no-logo 2>&1) || { printf '%s\n' "$$log"; exit 1; }

bench: $(VENV)/.developer peers ## Run every benchmark shortly (BENCH_ARGS= for full length)
	@failed=; for script in benchmarks/bench_*.py; do \
		$(BIN)/python -m benchmarks.$$(basename $$script .py) $(BENCH_ARGS) || failed="$$failed $$script"; \
	done; [ -z "$$failed" ] || { echo "missed its target or failed:$$failed"; exit 1; }

peers: ## Install the servers and clients that tests and benchmarks talk to
	@$(if $(PYTHON),$(PYTHON),python3) -m tests.support.peers --install

venv: $(VENV)/.developer ## Create .venv with everything that developers need

constraints: $(VENV)/.developer ## Rewrite constraints.txt with the newest versions that pip resolves
	@$(BIN)/python -c '$(DEV_GROUP)' > $(VENV)/dev-group.txt
	@$(PIP) install --dry-run --ignore-installed --report $(VENV)/report.json '.[all]' -r $(VENV)/dev-group.txt
	@echo "# Written by 'make constraints': the versions that the tests of this commit ran with." > constraints.txt
	@$(BIN)/python -c '$(FROM_REPORT)' < $(VENV)/report.json >> constraints.txt
	@wc -l < constraints.txt | sed 's/$$/ lines in constraints.txt/'

fuzz: $(VENV)/.developer ## Repeat the property tests with fresh seeds for FUZZ_S seconds
	@end=$$(($$(date +%s) + $(FUZZ_S))); rounds=0; \
	while [ $$(date +%s) -lt $$end ]; do \
		seed=$$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); \
		$(BIN)/python -m pytest -q -x -m hypothesis --hypothesis-seed=$$seed > $(VENV)/fuzz.log 2>&1 \
			|| { cat $(VENV)/fuzz.log; echo "failed with --hypothesis-seed=$$seed"; exit 1; }; \
		rounds=$$((rounds + 1)); \
	done; echo "$$rounds rounds, nothing found"

clean: ## Remove what these targets created
	@rm -rf $(VENV) .peers .bench* .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage htmlcov
	@find asyncdicom tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A second call costs nothing: pip runs only when a stamp is older than what it was made from.
$(VENV)/.installed: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { \
		echo "asyncdicom needs Python 3.11 to 3.13; found $$(python3 --version 2>&1)." >&2; \
		echo "Install one (Debian 12: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 demo" >&2; \
		exit 1; }
	@$(BIN)/python -c '$(IS_SUPPORTED)' 2>/dev/null || { \
		rm -rf $(VENV); \
		$(PYTHON) -m venv $(VENV) || { \
			rm -rf $(VENV); \
			echo "$(PYTHON) cannot create virtual environments here." >&2; \
			echo "On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; \
			exit 1; }; }
	@$(PIP) install -e . -c constraints.txt
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	@$(BIN)/python -c '$(DEV_GROUP)' > $(VENV)/dev-group.txt
	@$(PIP) install -e '.[all]' -r $(VENV)/dev-group.txt -c constraints.txt
	@touch $@
