# `make help` lists the targets. Each is a line or two: what they run is in scripts/ and .venv.
.DEFAULT_GOAL := help
.PHONY: help setup lock

help:  ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## Install what is missing: Debian packages, .venv, collections (quick when nothing is)
	@scripts/setup

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock:  ## Refresh the lock files from requirements/*.in (needs uv: pip install uv)
	$(LOCK) requirements/runtime.in --output-file requirements/runtime.txt
	$(LOCK) requirements/dev.in --output-file requirements/dev.txt
