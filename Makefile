# make run and make test do all the set-up themselves; every other target starts from the same stamp.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stellwerk-installed
STATE := var
# One more than cores: many tests wait for a timer or another process.
JOBS ?= $(shell expr $$(nproc) + 1)

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all check format bench lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(STAMP) $(STATE)  ## virtual environment, package, state directory

$(STAMP): pyproject.toml requirements.lock
	@echo "setting up $(VENV) (about a minute) ..."
	@command -v $(PYTHON) >/dev/null || { echo "there is no '$(PYTHON)'. On Debian: apt install python3 python3-venv"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Stellwerk needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version). Try: make PYTHON=python3.11 ..."; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "could not make $(VENV). On Debian: apt install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(STATE):
	@mkdir -p -m 0700 $@

run: setup  ## a running gateway on embedded defaults (SMTP 2525, LMTP 2424)
	@$(BIN)/stellwerk serve --config conf/stellwerk.toml

test: setup  ## every test that needs no server
	@$(BIN)/python -m pytest -q -n $(JOBS) -m "not server and not slow"

test-all: setup  ## every test, with real servers
	@$(BIN)/python -m pytest -q -n $(JOBS)

check: setup  ## format, lint, types, import contracts, lock file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@! grep -nE '^ *--[^h]|://' requirements.lock || { echo "requirements.lock must hold only pins and hashes"; exit 1; }

format: setup  ## format and sort imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup  ## measure beside aiosmtpd + aiosmtplib and Haraka; writes contrib/bench/RESULTS.md and LOOKUPS.md
	@$(BIN)/python -m contrib.bench
	@$(BIN)/python -m contrib.bench.lookups

lock:  ## resolve requirements.lock anew (wants pip-tools)
	pip-compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --strip-extras --all-extras --allow-unsafe -o requirements.lock pyproject.toml

clean:  ## remove the virtual environment (the state directory stays)
	rm -rf $(VENV)
