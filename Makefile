# Needs make and Python 3.11 or above with venv and pip; everything else goes into .venv, as pinned in the lock files.
# Choose a Python: make test PYTHON=python3.13        One test file, one process: make test ARGS=tests/bronze WORKERS=0
export PYTHON
WORKERS  ?= auto
ARGS     ?=
COVERAGE ?=
JUNIT    ?= build/junit.xml
FORM     ?= long
SEED     ?= $(if $(filter long,$(FORM)),$(shell date +%Y%m%d),1)
# One more than cores: proofs often wait, for a killed process, a time limit, a request that is delayed.
PROVERS = $(if $(filter auto,$(WORKERS)),$(shell expr $$(getconf _NPROCESSORS_ONLN) + 1),$(WORKERS))
WITH_COVERAGE = --cov --cov-report=term --cov-report=json:build/coverage.json

.DEFAULT_GOAL := help
.PHONY: help demo test proof lint $(LINTERS) format gates reference outputs docs screenshots bench interop clean lock demo-ready dev-ready

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: demo-ready  ## sample, run, five answers, report: the first five minutes
	@.venv/bin/eventmint demo

test: dev-ready  ## every test but the proofs; COVERAGE=1 measures lines and branches too
	@mkdir -p build
	@.venv/bin/pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore=tests/proofs --junit-xml=$(JUNIT) $(if $(COVERAGE),$(WITH_COVERAGE)) $(ARGS)

proof: dev-ready  ## no line lost, doubled or changed: kills, faults, damage, races; hours on two cores, FORM=short 12 minutes
	@mkdir -p build
	@EVENTMINT_PROOF=$(FORM) EVENTMINT_PROOF_SEED=$(SEED) .venv/bin/pytest -n $(PROVERS) --maxprocesses 4 --dist worksteal --junit-xml=build/junit-proofs.xml $(or $(ARGS),tests/proofs)

LINTERS = check-format check-style check-types check-layers check-spelling check-locks
lint: $(LINTERS)  ## format, style, types, import layers, spelling, stale locks
$(LINTERS): dev-ready
check-format:   ; @.venv/bin/ruff format --check .
check-style:    ; @.venv/bin/ruff check .
check-types:    ; @.venv/bin/mypy
check-layers:   ; @.venv/bin/lint-imports
check-spelling: ; @.venv/bin/codespell
check-locks:    ; @.ci/lock --check

format: dev-ready  ## format and repair what ruff can
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

gates:  ## size, cfn-lint, checkov and Guard over the CloudFormation template
	@.ci/gates

reference: dev-ready  ## the generated pages of docs/: commands, settings, tables, API, list of decisions
	@.venv/bin/python docs/reference/generate.py

outputs: dev-ready  ## what the documents show of commands, written anew by these commands
	@.venv/bin/python tests/console.py

docs:  ## the documents as a site, into build/site; a broken link, or a page that nothing leads to, is an error
	@.ci/venv-beside docs --no-compile
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --clean  # never --quiet: a warning that is not written counts for nothing

screenshots: dev-ready  ## pictures of every state of report and dashboard, into build/screenshots; needs Chromium
	@PYTHONPATH=src:tests .venv/bin/python -m browser.screenshots build/screenshots

bench: dev-ready  ## eventmint beside its peers, small; ARGS=--full the real size, some hours on two cores
	@.ci/venv-beside bench
	@.venv/bin/python -m benchmarks $(ARGS)

interop: dev-ready  ## Iceberg's Spark runtime and a Trino server read the lake; needs Java 17, Java 24+ and Maven
	@.venv/bin/python -m interop $(ARGS)

lock: dev-ready  ## the lock files from pyproject.toml; ARGS=--upgrade for newer versions
	@.ci/lock $(ARGS)

clean:  ## remove .venv, caches and what tests and builds left
	@rm -rf .venv .venv-bench .venv-docs .venv-gates build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

demo-ready:
	@.ci/venv requirements.lock .venv/.demo-ready

dev-ready: demo-ready
	@.ci/venv requirements-dev.lock .venv/.dev-ready
