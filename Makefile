# Every task of this repository. `make help` lists them.
#
# LOCAL_ROOT  folder of the local cloud (default .local); several may run side by side
# PYTHON      the Python to start with (3.11 or newer; default python3)

PYTHON ?= python3
LOCAL_ROOT ?= .local
PLAN ?= free
USERS ?= 1000
STACK ?= prod

RUN = @command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "$(PYTHON) is not here. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3.12 $@" >&2; exit 1; }; \
	exec $(PYTHON) infra/local/bootstrap.py --root "$(LOCAL_ROOT)"

.PHONY: help up down destroy clean status logs mail key revoke jobs revive restore rotate preview refresh smoke test check format engine lock install snapshot export import openapi cost bench bootstrap-prod

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' Makefile

up: ## install what is missing, apply the program to the local cloud, print an API URL and a key
	$(RUN) up

down: ## stop every process; the next `make up` brings all of it back
	$(RUN) down

destroy: ## pulumi destroy: every resource and its data go
	$(RUN) destroy

clean: ## remove everything that make made here: processes, data, packages
	$(RUN) clean

status: ## what runs
	$(RUN) status

logs: ## the end of every log (PART=memories: of one; FOLLOW=1: and what comes)
	$(RUN) logs --part "$(PART)" $(if $(FOLLOW),--follow)

mail: ## the mails that were sent (TO=you@example.com: to one address)
	$(RUN) mail

key: ## open a fresh account and print its key, nothing else (PLAN=free|pro|team)
	$(RUN) key --plan "$(PLAN)"

revoke: ## revoke a key (KEY=mg_...)
	$(RUN) revoke

jobs: ## what provisioning gave up (STATE=waiting|running|done|dead)
	$(RUN) jobs

revive: ## have a job that was given up tried again (JOB=...)
	$(RUN) revive

restore: ## list backups, or put a workspace back to one (WORKSPACE=... UNTIL=2026-11-28)
	$(RUN) restore

rotate: ## replace one of the program's own secrets, without a failed request (SECRET=memories-edge-secret)
	$(RUN) rotate

preview: ## what `make up` would change (needs the engine)
	$(RUN) preview

refresh: ## read every resource anew into the state (needs the engine)
	$(RUN) refresh

smoke: ## whether a running stack does its work (URL=https://api... KEY=mg_...; without both: the local cloud)
	$(RUN) smoke

test: ## install what the tests need and run them all (ARGS="tests/infra -k edge": some)
	$(RUN) test -- $(ARGS)

check: ## format, lint, types and workflows
	$(RUN) check

format: ## format, and mend what the linter can
	$(RUN) format

engine: ## build the Pulumi engine, once (about 6 minutes on 2 cores; kept in your cache folder)
	$(RUN) engine

lock: ## resolve the dependencies anew and write every lock file
	$(RUN) lock

install: ## install only: virtual environment, parts, the tests' client
	$(RUN) install

snapshot: ## write the snapshot of the resource graph anew
	$(RUN) snapshot

export: ## all memories and relationships into a file (FILE=memories.jsonl; FILE=memories.json: for the local tool)
	$(RUN) export

import: ## a file of either kind into a workspace (FILE=...); again: carries on where it stopped
	$(RUN) import

openapi: ## write the description of the API anew: openapi.json and the docs page
	$(RUN) openapi

cost: ## what a month costs (USERS=1000 CALLS=1000000; ARGS="--plot cost.svg", ARGS=--help)
	$(RUN) cost -- --users "$(USERS)" $(if $(CALLS),--calls "$(CALLS)") $(ARGS)

bench: ## measure the memories beside peers, write docs/benchmarks.md (ARGS=--quick; ARGS=--help)
	$(RUN) bench -- $(ARGS)

bootstrap-prod: ## what must exist before the first `pulumi up` for real, and what of it is missing (STACK=staging)
	$(RUN) bootstrap-prod -- "$(STACK)"
