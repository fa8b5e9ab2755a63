.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
SHELL_FILES = efs2efs $(shell shfmt --find .ci */)
GENERATED := .venv .local .cache dist .dist-* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The minutes that all tests took here, when they last ran and none failed.
MINUTES := .cache/test-minutes

# One of each kind: the first, one of the usual, China, GovCloud, Europe's sovereign cloud, a new one.
LINTED_REGIONS := us-east-1 eu-west-1 cn-north-1 us-gov-west-1 eusc-de-east-1 ap-southeast-6

# Subcommands of one program, which reads what stands on the command line out of MAKEFLAGS.
ADMIN := preflight deploy cost acceptance status logs backup-now stop snapshots find diff hold release remove verify restore undo publish

.PHONY: help setup demo build $(ADMIN) test test-nfs test-faults coverage bench lint scan lock clean

define BREAK :=


endef

# A name that is not known, such as one in small letters, would silently not count.
TAKES_demo := SOURCE PAGE WORKERS
TAKES_build := VERSION BUCKET
TAKES_bench := ARGS
TAKES := $(strip $(foreach goal,$(MAKECMDGOALS),$(TAKES_$(goal))))
ifneq ($(TAKES),)
  UNKNOWN := $(foreach name,$(filter-out $(TAKES) PYTHON,$(.VARIABLES)),$(if $(filter command line,$(origin $(name))),$(name)))
  $(if $(strip $(UNKNOWN)),$(error Unknown: $(strip $(UNKNOWN)).$(BREAK)make $(MAKECMDGOALS) takes: $(TAKES)))
endif

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

setup: ## install all that is needed; the other targets do it, too
	@tools/setup.sh

demo: ## three backups and two restores on this machine, without AWS: optionally SOURCE=/a/directory WORKERS=2 PAGE=no
	@tools/setup.sh demo
	@$(BIN)/python -m local.demo $(if $(SOURCE),--source "$$SOURCE") $(if $(WORKERS),--workers "$$WORKERS") $(if $(PAGE),--page "$$PAGE")

##@ Releasing and deploying
build: ## write a release into dist/: VERSION=v2.0.0, optionally BUCKET=prefix
	@tools/setup.sh admin
	@$(BIN)/python tools/build.py --version "$$VERSION" $(if $(BUCKET),--bucket "$$BUCKET")

publish: ## build, upload to prefix-region, write launch links: BUCKET=prefix REGIONS="eu-west-1 …" VERSION=v2.0.0
preflight: ## check the network before a deployment: SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… or STACK=name
deploy: ## create or update a stack: STACK=name SrcEFS=fs-… VpcId=vpc-… Subnets=subnet-…,subnet-… Email=you@…, optionally ALLOW_NFS=yes
cost: ## what backups cost a month: FILES=1000000 GB=1024, optionally CHURN=2 RETAIN=7 INTERVAL=daily IA=1 ARCHIVE=none WORKERS=3
acceptance: ## try in your account what no emulator can tell, and remove it again: REGION=… VPC=vpc-… SUBNETS=…,… EMAIL=you@…

##@ Operating a stack
status: ## the last runs, what to do about one that failed, the progress of one that is running: STACK=name or STACK=all, optionally RUN=id
logs: ## show the logs of a run, or write them into a directory: STACK=name, optionally RUN=id TO=a/directory
backup-now: ## start a backup: STACK=name
stop: ## stop the backup that is running; the next one continues: STACK=name
snapshots: ## each snapshot, what removing it would free, why it is kept: STACK=name, optionally FORMAT=json
find: ## the versions of files, and which snapshots hold them: STACK=name NAME='report*.xlsx' or FILE=/a/b, optionally PAGE=2 FORMAT=json
diff: ## what changed from one snapshot to another: STACK=name FROM=daily.3 TO=daily.0, optionally IN=/a/ PAGE=2 FORMAT=json
hold: ## keep a snapshot until it is released, from the next backup on: STACK=name SNAPSHOT=daily.3 NAME=before-migration, optionally NOW=yes
release: ## let a held snapshot expire as others do, from the next backup on: STACK=name NAME=before-migration, optionally NOW=yes
remove: ## remove one snapshot for ever, with the next backup: STACK=name SNAPSHOT=2026-11-20, optionally NOW=yes
verify: ## look whether a snapshot is as it was made, with the next backup: STACK=name SNAPSHOT=2026-11-20, optionally NOW=yes
restore: ## restore a snapshot, or a part of it; first as a dry run: STACK=name DRYRUN=yes, optionally DATE=2026-11-20T02:00 SUBDIR=/a/file MODE=Mirror
undo: ## undo a restore: STACK=name ID=20261120T021503Z-1f0a, optionally DRYRUN=yes
# The value of a variable may be the name of a file, which anybody chooses who can write to the source:
# in the environment of a recipe, make carries out what $(shell …) in it says. MAKEFLAGS has it as it
# was typed. And after a target, a word is one, too: `make restore YES=1 DRYRUN` would restore first.
ifneq ($(filter $(ADMIN),$(MAKECMDGOALS)),)
  ifneq ($(words $(MAKECMDGOALS)),1)
    $(error One command at a time, and values as NAME=value$(BREAK)without blanks around the equals sign, not: $(MAKECMDGOALS))
  endif
  $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(eval unexport $(name))))
endif
$(ADMIN):
	@tools/setup.sh admin
	@$(BIN)/python -m admin --from-make $@

##@ Developing
test: ## run all tests; needs sudo
	@if took=$$(cat $(MINUTES) 2>/dev/null); then echo "All tests took $$took minutes here the last time."; \
	else cores=$$(nproc); echo "All tests take about $$((1 + 20 / cores)) minutes on the $$cores processors here."; fi
	@echo "They need root or sudo, and 2 GB here. What is missing is installed first."
	@tools/setup.sh page
	@begun=$$(date +%s); $(BIN)/python -m pytest -n auto && echo $$((($$(date +%s) - begun + 59) / 60)) >$(MINUTES)

test-nfs: setup ## run the tests on real NFS mounts
	@$(BIN)/python -m pytest tests/nfs

coverage: setup ## which lines and branches are run by the tests that need no sudo
	@mkdir -p .cache/coverage && $(BIN)/coverage erase
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/coverage run -m pytest -n auto --ignore tests/local --ignore tests/nfs
	@$(BIN)/coverage combine --quiet; $(BIN)/coverage report # what tests kill leaves no data

bench: ## measure backups and restores beside other ways to make them: ARGS="--files 10k --delay 1"
	@tools/setup.sh bench
	@$(BIN)/python -m bench $$ARGS

test-faults: setup ## run the tests that break something on purpose
	@$(BIN)/python -m pytest -k "faults or interruptions or replay"

lint: setup ## run all linters
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 ec2 # the oldest that it knows; an instance has 3.9
	shellcheck $(SHELL_FILES)
	shfmt -d -i 2 -ci $(SHELL_FILES)
	for template in templates/*.template admin/acceptance/source.template; do \
	  sed 's/%%[A-Z0-9_]*%%/placeholder/g' "$$template" | $(BIN)/cfn-lint --regions $(LINTED_REGIONS) || exit; \
	done
	@# What one would not write today is version 1.5's; wrong it may not be.
	$(BIN)/cfn-lint --ignore-checks W --regions $(LINTED_REGIONS) -- admin/acceptance/v15.template
	$(BIN)/yamllint --strict .
	PYTHONPATH=src:ec2/lib:. $(BIN)/lint-imports --no-logo --no-cache

scan: ## run checkov over the templates; installs 290 MB
	@tools/setup.sh scan
	@.cache/scan/bin/checkov --directory templates --framework cloudformation --compact --quiet --skip-download

lock: ## pin the newest versions of the Python packages
	@tools/lock.sh

clean: ## remove all that the other targets made, but not Debian packages
	@rm -rf --one-file-system -- $(GENERATED) 2>/dev/null || sudo rm -rf --one-file-system -- $(GENERATED)
	@find . -name __pycache__ -prune -exec rm -rf -- {} +
