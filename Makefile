.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export SOURCE VERSION BUCKET
export ARGS FILES GB CHURN RETAIN INTERVAL IA ARCHIVE

BIN := .venv/bin
SHELL_FILES = $(shell shfmt --find .ci */)
GENERATED := .venv .local .cache dist .dist-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup demo build cost test test-nfs bench lint lock clean

help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install all that is needed: Debian packages, .venv
	@tools/setup.sh

demo: ## three backups in a local account, of a copy of a system directory; of yours with SOURCE=/a/directory
	@tools/setup.sh demo
	@$(BIN)/python -m local.demo $(if $(SOURCE),--source "$$SOURCE")

build: ## write a release into dist/: VERSION=v2.0.0, optionally BUCKET=name
	@tools/setup.sh demo
	@$(BIN)/python tools/build.py --version "$$VERSION" $(if $(BUCKET),--bucket "$$BUCKET")

cost: ## what backups cost a month: FILES=1000000 GB=1024, optionally CHURN=2 RETAIN=7 INTERVAL=daily IA=1 ARCHIVE=none
	@tools/setup.sh demo
	@$(BIN)/python -m admin.cost

test: setup ## run all tests; those of the local account use sudo
	@$(BIN)/python -m pytest

test-nfs: setup ## run the tests on real NFS mounts alone
	@$(BIN)/python -m pytest tests/nfs

bench: ## measure backups on real NFS mounts beside other ways to make them: ARGS="--files 10k --delay 1"
	@tools/setup.sh bench
	@$(BIN)/python -m bench $$ARGS

lint: setup ## run ruff, mypy, shellcheck, shfmt, cfn-lint and yamllint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 ec2 # the oldest that it knows; an instance has 3.9
	shellcheck $(SHELL_FILES)
	shfmt -d -i 2 -ci $(SHELL_FILES)
	for template in templates/*.template; do \
	  sed 's/%%[A-Z0-9_]*%%/placeholder/g' "$$template" | $(BIN)/cfn-lint || exit; \
	done
	$(BIN)/yamllint --strict .

lock: ## pin the newest versions of all Python packages
	@tools/lock.sh

clean: ## remove all that the other targets made
	@rm -rf --one-file-system -- $(GENERATED) 2>/dev/null || sudo rm -rf --one-file-system -- $(GENERATED)
	@find . -name __pycache__ -prune -exec rm -rf -- {} +
