.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The variables of the command line are data: programs get them through the environment, as typed.
export GIVEN := $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v))
$(foreach v,$(GIVEN),$(eval override export $v := $$(value $v)))

BIN := .venv/bin
SHELL_FILES = $(shell shfmt --find .ci */)
GENERATED := .venv .local .cache dist .dist-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# One of each kind: the first, one of the usual, China, GovCloud, Europe's sovereign cloud, a new one.
LINTED_REGIONS := us-east-1 eu-west-1 cn-north-1 us-gov-west-1 eusc-de-east-1 ap-southeast-6

.PHONY: help setup demo build publish preflight deploy acceptance status logs backup-now stop snapshots find diff hold release remove verify restore undo cost test test-nfs test-faults coverage bench lint scan lock clean

##@ Getting started
help: ## explain the targets
	@awk -F ':.*## ' \
	  '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
	   /^[a-z-]+:.*## / { \
	     line = sprintf("  make %-11s", $$1); n = split($$2, words, " "); \
	     for (i = 1; i <= n; i++) { \
	       if (length(line " " words[i]) > 80) { print line; line = sprintf("%18s", "") } \
	       line = line " " words[i] \
	     } \
	     print line \
	   }' $(MAKEFILE_LIST)

setup: ## install all that is needed: Debian packages, .venv
	@tools/setup.sh

demo: ## three backups in a local account, of a copy of a system directory; of yours with SOURCE=/a/directory
	@tools/setup.sh demo
	@$(BIN)/python -m local.demo $(if $(SOURCE),--source "$$SOURCE")

##@ Releasing and deploying
build: ## write a release into dist/: VERSION=v2.0.0, optionally BUCKET=prefix
	@tools/setup.sh admin
	@$(BIN)/python tools/build.py --version "$$VERSION" $(if $(BUCKET),--bucket "$$BUCKET")

publish: ## build, upload to prefix-region, write launch links: BUCKET=prefix REGIONS="eu-west-1 …" VERSION=v2.0.0
	@tools/setup.sh admin
	@$(BIN)/python -m tools.publish

preflight: ## check the network before a deployment: SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… or STACK=name
	@tools/setup.sh admin
	@$(BIN)/python -m admin.preflight

deploy: ## create or update a stack: STACK=name SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… Email=you@…, optionally ALLOW_NFS=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.deploy

cost: ## what backups cost a month: FILES=1000000 GB=1024, optionally CHURN=2 RETAIN=7 INTERVAL=daily IA=1 ARCHIVE=none
	@tools/setup.sh admin
	@$(BIN)/python -m admin.cost

acceptance: ## try in your account what no emulator can tell, and remove it again: REGION=… VPC=vpc-… SUBNETS=…,… EMAIL=you@…
	@tools/setup.sh admin
	@$(BIN)/python -m admin.acceptance

##@ Operating a stack
status: ## the last runs, the newest that failed as a whole, and the progress of a running one: STACK=name, STACK=all, optionally RUN=id
	@tools/setup.sh admin
	@$(BIN)/python -m admin.status

logs: ## show the logs of a run: STACK=name, optionally RUN=id TO=a/directory
	@tools/setup.sh admin
	@$(BIN)/python -m admin.logs

backup-now: ## start a backup: STACK=name
	@tools/setup.sh admin
	@$(BIN)/python -m admin.backup_now

stop: ## stop the backup that is running, as its window's end does: STACK=name
	@tools/setup.sh admin
	@$(BIN)/python -m admin.stop

snapshots: ## each snapshot, what removing it would free, why it is kept: STACK=name, optionally FORMAT=json
	@tools/setup.sh admin
	@$(BIN)/python -m admin.ask snapshots

find: ## the versions of files, and which snapshots hold them: STACK=name NAME='report*.xlsx' or FILE=/a/b, optionally PAGE=2 FORMAT=json
	@tools/setup.sh admin
	@$(BIN)/python -m admin.ask find

diff: ## what changed from one snapshot to another: STACK=name FROM=daily.3 TO=daily.0, optionally IN=/a/ PAGE=2 FORMAT=json
	@tools/setup.sh admin
	@$(BIN)/python -m admin.ask diff

hold: ## keep a snapshot until it is released: STACK=name SNAPSHOT=daily.3 NAME=before-migration, optionally NOW=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.manage hold

release: ## let a held snapshot expire as others do: STACK=name NAME=before-migration, optionally NOW=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.manage release

remove: ## remove one snapshot for ever: STACK=name SNAPSHOT=2026-11-20, optionally NOW=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.manage remove

verify: ## re-check a snapshot through the next backup's instance: STACK=name SNAPSHOT=2026-11-20, optionally NOW=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.manage verify

restore: ## restore a snapshot: STACK=name DRYRUN=yes, optionally DATE=2026-11-20T02:00 SUBDIR=/a/file MODE=Mirror
	@tools/setup.sh admin
	@$(BIN)/python -m admin.restore

undo: ## undo a restore: STACK=name ID=20261120T021503Z-1f0a, optionally DRYRUN=yes
	@tools/setup.sh admin
	@$(BIN)/python -m admin.undo

##@ Developing
test: ## run all tests; those of the local account use sudo
	@cores=$$(nproc); echo "All tests take about $$((6 + 50 / cores)) minutes on the $$cores processors here, with root"
	@echo "or sudo, and 2 GB in this folder. What is missing is installed first."
	@tools/setup.sh
	@$(BIN)/python -m pytest -n auto --ignore tests/local/test_demo.py
	@$(BIN)/python -m pytest tests/local/test_demo.py # there is one demo at a time

test-nfs: setup ## run the tests on real NFS mounts alone
	@$(BIN)/python -m pytest tests/nfs

coverage: setup ## lines and branches that the tests run which need neither the local account nor NFS
	@mkdir -p .cache/coverage && $(BIN)/coverage erase
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/coverage run -m pytest -n auto --ignore tests/local --ignore tests/nfs
	@$(BIN)/coverage combine --quiet; $(BIN)/coverage report # what tests kill leaves no data

bench: ## measure backups and restores on real NFS mounts beside other ways to make them: ARGS="--files 10k --delay 1"
	@tools/setup.sh bench
	@$(BIN)/python -m bench $$ARGS

test-faults: setup ## run the tests that break something on purpose
	@$(BIN)/python -m pytest -k "faults or interruptions or replay"

lint: setup ## run ruff, mypy, shellcheck, shfmt, cfn-lint and yamllint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 ec2 # the oldest that it knows; an instance has 3.9
	shellcheck $(SHELL_FILES)
	shfmt -d -i 2 -ci $(SHELL_FILES)
	for template in templates/*.template admin/acceptance/*.template; do \
	  sed 's/%%[A-Z0-9_]*%%/placeholder/g' "$$template" | $(BIN)/cfn-lint --regions $(LINTED_REGIONS) || exit; \
	done
	$(BIN)/yamllint --strict .

scan: ## let checkov look at the templates; it weighs 290 MB
	@tools/setup.sh scan
	@.cache/scan/bin/checkov --directory templates --framework cloudformation --compact --quiet --skip-download

lock: ## pin the newest versions of all Python packages
	@tools/lock.sh

clean: ## remove all that the other targets made
	@rm -rf --one-file-system -- $(GENERATED) 2>/dev/null || sudo rm -rf --one-file-system -- $(GENERATED)
	@find . -name __pycache__ -prune -exec rm -rf -- {} +
