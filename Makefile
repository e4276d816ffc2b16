# `make help` lists the targets. Each is a line or two: what they run is in scripts/ and .venv.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# The sandbox and the tests that boot instances need root.
AS_ROOT := scripts/as-root
PYTHON_SOURCES := conftest.py extensions sandbox monitor plugins roles/burst_vm/files tests scripts $(wildcard bench/*.py)

.PHONY: help
help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## Install what is missing: Debian packages, .venv, collections (quick when nothing is)
	@scripts/setup

.PHONY: demo
demo:  ## Set up, start the sandbox, run parts 1 to 3 and a burst, show the result
	@started=$$(date +%s.%N); scripts/setup && $(BIN)/python scripts/demo.py --started "$$started"

.PHONY: up down
up: setup  ## Start the sandbox
	@$(AS_ROOT) $(BIN)/cloudspill-sandbox up --publish flask-app=roles/flask_app/files/app
down:  ## Stop the sandbox; its cloud's state is kept
	@$(AS_ROOT) $(BIN)/cloudspill-sandbox down

# Side by side on all processors; what runs machines stays in one process (conftest.py).
PYTEST := $(AS_ROOT) $(BIN)/pytest -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder --durations 25
.PHONY: test test-ci test-all
test: lint  ## Lint, and every test that is not slow (10 minutes at most)
	$(PYTEST) -m "not slow"
test-ci: setup  ## Every test but those that repeat another at length
	$(PYTEST) -m "not exhaustive"
test-all: lint sanity  ## Lint, sanity, and every test
	$(PYTEST)

.PHONY: artefact sanity
artefact: setup  ## Build the collection as it ships; it goes to dist/
	@$(BIN)/python -m scripts.artefact dist
sanity: setup  ## ansible-test sanity on the collection as it ships
	@nice $(BIN)/python -m scripts.sanity

.PHONY: molecule
molecule: setup  ## Every role's scenario, on machines of a sandbox of its own (extensions/molecule)
	$(AS_ROOT) $(BIN)/python -m tests.molecule

.PHONY: bench
bench: up  ## Measure API, load, siege, fuzzing, inventory, instances, clones, monitor, burst (to build/bench)
	$(BIN)/python bench/api.py
	$(BIN)/python -m bench.load
	$(BIN)/python -m bench.siege
	$(MAKE) fuzz
	$(BIN)/python -m bench.inventory
	$(AS_ROOT) $(BIN)/python bench/instances.py
	$(AS_ROOT) $(BIN)/python -m bench.scale
	$(AS_ROOT) $(BIN)/python -m bench.restart
	$(BIN)/python -m bench.clones
	$(BIN)/python bench/monitor.py --json build/bench/monitor.json
	$(AS_ROOT) $(BIN)/python -m bench.burst --json build/bench/burst.json

MINUTES := 2
.PHONY: fuzz
fuzz:  ## Send a sandbox in memory what nobody should, for MINUTES=2
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --json build/bench/fuzz.json

LINTERS := lint-ruff lint-mypy lint-walls lint-ansible lint-yaml lint-shell lint-project
.PHONY: lint $(LINTERS)
lint: setup  ## Every linter, side by side
	@$(MAKE) --keep-going --jobs=3 --output-sync=target $(LINTERS)
lint-ruff:
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
lint-mypy:
	$(BIN)/mypy --no-error-summary $(PYTHON_SOURCES)
lint-walls:
	@report=$$($(BIN)/lint-imports) || { echo "$$report"; false; }
lint-ansible:
	@# "localhost," would be two paths there, the second this folder: all below it, programs too.
	PATH="$(CURDIR)/$(BIN):$$PATH" ANSIBLE_INVENTORY=/dev/null $(BIN)/ansible-lint -q
lint-yaml:
	$(BIN)/yamllint --strict .
lint-shell:
	$(BIN)/shellcheck $$(git grep -lE '^#!/[a-z/ ]*sh$$' -- ':!*.py' ':!*.j2')  # a template is no script yet
lint-project:
	$(BIN)/pytest -q tests/project

.PHONY: clean
clean:  ## Stop the sandbox, remove all that it keeps on this host, and what tools and examples left here
	@$(AS_ROOT) scripts/clean
	@rm -rf .ansible .cache .coverage .hypothesis .*_cache build dist
	@rm -f monitor/examples/*.count monitor/examples/*.count.new

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
.PHONY: lock
lock:  ## Refresh the lock files from requirements/*.in (needs uv: pip install uv)
	$(LOCK) requirements/runtime.in --output-file requirements/runtime.txt
	$(LOCK) requirements/dev.in --output-file requirements/dev.txt
