# Tradepost's commands: `make` lists them.
# Needed: make, Python 3.11 or newer, and the way to a package index; uv is used when it is there and fetched when not.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# uv trusts the authorities that this machine trusts, as pip does: a company's own among them.
export UV_SYSTEM_CERTS ?= 1
# Where the home directory may not be written, as in many containers, the caches of uv and pip are kept here.
ifneq ($(shell cache="$${XDG_CACHE_HOME:-$$HOME/.cache}"; mkdir -p "$$cache" 2>/dev/null && test -w "$$cache" && echo yes),yes)
export UV_CACHE_DIR ?= $(CURDIR)/build/uv-cache
export PIP_CACHE_DIR ?= $(CURDIR)/build/pip-cache
endif

# The tests start hundreds of processes, each of which would compile the whole package where Python may not keep bytecode.
export PYTHONDONTWRITEBYTECODE :=

# The port of `make run`.
PORT ?= 8000
# Further arguments for the command behind a target: make test ARGS='-k items -x'
ARGS ?=
# The interpreter that .venv is made from.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# Both are looked up only by the recipes that install something, so that a second `make run` pays for neither.
UV = $(shell uv --version >/dev/null 2>&1 && echo uv || echo build/uv/bin/uv)
# Compiled at once, so that the first start is as quick as the second, also where Python may not write bytecode.
INSTALL = "$(UV)" pip install --quiet --compile-bytecode --python .venv/bin/python

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "  Variables: PORT=8000 (run), ARGS='…' (run, test, seed, bench, …), PYTHON=python3 (setup)"

## Installing. The stamps .venv/.runtime and .venv/.dev stand for what is installed: no lock changed, nothing to do.

.PHONY: setup
setup: .venv/.runtime ## Install what the server needs into .venv
	@:

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the server's requirements"
	@$(INSTALL) --require-hashes -r requirements.lock
	@# The project itself, in place. Its build requirements are held to the pins and hashes of the dev lock.
	@$(INSTALL) --no-deps --build-constraints requirements-dev.lock --editable .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo "Installing the tools for development"
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo "Python 3.11 or newer is needed; name it with PYTHON=…" >&2; exit 1; }
	@uv --version >/dev/null 2>&1 || $(MAKE) build/uv/bin/uv
	@rm -rf .venv
	@"$(UV)" venv --quiet --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv

# pip into a directory works even where Debian guards its Python against pip; a venv brings a pip where none is.
build/uv/bin/uv: requirements-dev.lock
	@echo "Fetching uv"
	@mkdir -p build
	@awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements-dev.lock > build/uv.lock
	@python='$(PYTHON)'; \
	"$$python" -m pip --version >/dev/null 2>&1 || { \
		"$$python" -m venv build/pip && python=build/pip/bin/python || { \
			echo "Neither uv, pip nor venv found: install one of them (Debian: apt-get install python3-pip)" >&2; exit 1; }; }; \
	rm -rf build/uv; \
	PIP_ROOT_USER_ACTION=ignore "$$python" -m pip install --quiet --require-hashes --no-deps --target build/uv -r build/uv.lock
	@touch $@

## Running

# Memory as the image has it.
.PHONY: run
run: export GLIBC_TUNABLES ?= glibc.malloc.mmap_threshold=4194304:glibc.malloc.hugetlb=1
run: setup ## Serve on PORT, with a database that is made, migrated and filled the first time
	@exec .venv/bin/tradepost serve --host 127.0.0.1 --port $(PORT) --demo $(ARGS)

.PHONY: secrets
secrets: ## Write ./secrets for compose.yaml, each where none is yet
	@deploy/secrets.sh

.PHONY: migrate
migrate: setup ## Bring the database of DATABASE_URL to the newest schema
	@.venv/bin/tradepost migrate $(ARGS)

.PHONY: seed
seed: setup ## Fill the database with made-up data (ARGS=--help shows the sizes)
	@.venv/bin/tradepost seed $(ARGS)

.PHONY: openapi
openapi: setup ## Print the OpenAPI document
	@.venv/bin/tradepost openapi $(ARGS)

## Developing

.PHONY: test
test: .venv/.dev ## Run all tests on SQLite and on a PostgreSQL of their own, then `make check`
	@.venv/bin/pytest $(PARALLEL) $(ARGS) || { test $$? = 1 && { $(AGAIN) $(ARGS); }; }
	@$(MAKE) check

# The tests of one module on one engine stay together, because they share a database: tests/scheduling.py deals them out.
# Where tests failed (status 1) all have run. A run that broke off has not, and its last failures stand for nothing.
PARALLEL = --numprocesses auto --dist loadfile
AGAIN = echo "Those that failed once more, with the machine to themselves. What the summary calls PASSED needed that:"; \
	.venv/bin/pytest --last-failed --last-failed-no-failures none -rap

# The programs of `make test-outside`, with their Debian packages. Node.js is not among them: Debian's may be too old for
# the generators of clients.
OUTSIDE = chromium:chromium chromedriver:chromium-driver nginx:nginx haproxy:haproxy postfix:postfix pgbouncer:pgbouncer strace:strace

.PHONY: test-outside
test-outside: .venv/.dev ## Test beside programs from elsewhere: Chromium, nginx, haproxy, Postfix, PgBouncer, strace (as root, apt installs them), generated clients
	@mkdir -p build; PATH="$$PATH:/usr/sbin"; missing() { for program in $(OUTSIDE); do \
		command -v "$${program%:*}" >/dev/null || printf ' %s' "$${program#*:}"; done; }; \
	wanted=$$(missing); \
	if test -n "$$wanted" && test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "Installing$$wanted"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$wanted; } \
			>build/apt.log 2>&1 || { tail -n 3 build/apt.log; echo "apt-get could not install them"; }; \
	fi; \
	test -z "$$(missing)" || echo "Left out for want of$$(missing) (Debian: apt-get install$$(missing)):" \
		"the tests that the summary calls SKIPPED"
	@.venv/bin/pytest tests/outside $(ARGS) || { $(AGAIN) tests/outside $(ARGS); }

.PHONY: coverage
coverage: .venv/.dev ## Run all tests and tell which lines they run (a third slower)
	@.venv/bin/pytest $(PARALLEL) --cov --cov-report term $(ARGS)

.PHONY: check
check: .venv/.dev ## Check format, lint, types, layers, locks and container files
	.venv/bin/ruff format --check --output-format concise .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	@$(MAKE) check-locks
	.venv/bin/docker-compose --profile observability --profile mail --profile s3 --profile pgbouncer config --quiet
	.venv/bin/hadolint Dockerfile
	@echo "All checks passed"

# The proxies' own checks of their files, Prometheus' of its rules, and the schemas of Kubernetes. What is not here is said.
.PHONY: check-deploy
check-deploy: .venv/.dev ## Check deploy/ with the programs it is for (Debian: nginx haproxy prometheus)
	@mkdir -p build; PATH="$$PATH:/usr/sbin"; status=0; \
	check() { program=$$1; shift; command -v "$$program" >/dev/null || { echo "Not checked for want of $$program"; return; }; \
		"$$program" "$$@" >build/deploy.log 2>&1 && echo "$$program: in order" || { cat build/deploy.log; status=1; }; }; \
	rm -rf build/nginx && cp -r deploy/nginx build/nginx && \
		sed -i -e '/^resolver/d' -e 's/api:8000 resolve/127.0.0.1:8000/' build/nginx/upstream.conf; \
	check nginx -t -p $(CURDIR)/build/nginx -c $(CURDIR)/build/nginx/nginx.conf; \
	LISTEN=127.0.0.1:1 API1=127.0.0.1:2 API2=127.0.0.1:3 API3=127.0.0.1:4 check haproxy -c -f deploy/haproxy/haproxy.cfg; \
	check promtool check config deploy/prometheus/prometheus.yml; \
	check promtool test rules deploy/prometheus/rules_test.yml; \
	for file in deploy/kubernetes/base/[!k]*.yaml deploy/kubernetes/overlays/*/[!k]*.yaml; do \
		check .venv/bin/uv tool run --quiet kubernetes-validate==$(KUBERNETES_VALIDATE) --strict $$file; done; \
	exit $$status

# Over a hundred megabytes of schemas: fetched when they are asked for.
KUBERNETES_VALIDATE = 1.37.0

# Resolved again on top of itself a lock only changes with pyproject.toml, never with what was released since.
# Without the package index: nothing that pyproject.toml asks for may be missing from what the locks installed.
.PHONY: check-locks
check-locks: .venv/.dev
	@mkdir -p build/locks && cp requirements*.lock build/locks
	@if .venv/bin/uv $(COMPILE) --output-file build/locks/requirements.lock 2> build/locks/errors \
	&& .venv/bin/uv $(COMPILE) $(COMPILE_IMAGE) --output-file build/locks/requirements-image.lock 2>> build/locks/errors \
	&& .venv/bin/uv $(COMPILE) $(COMPILE_DEV) --output-file build/locks/requirements-dev.lock 2>> build/locks/errors; then \
		for lock in requirements*.lock; do \
			diff -u $$lock build/locks/$$lock || { echo "$$lock is out of date: run make lock" >&2; exit 1; }; done; \
		echo "The locks are up to date"; \
	elif .venv/bin/uv pip install --offline --dry-run --python .venv/bin/python -r pyproject.toml --all-extras --group dev 2>&1 \
	| grep -q 'make no changes'; then \
		echo "The locks cover pyproject.toml (the package index was not reached to resolve them again)"; \
	else \
		cat build/locks/errors >&2; echo "The locks do not cover pyproject.toml: run make lock" >&2; exit 1; \
	fi

.PHONY: bench
bench: .venv/.dev ## Measure Tradepost beside its hand-written limit (Linux; ARGS=--help shows what)
	@.venv/bin/python -m tests.load.bench $(ARGS)

.PHONY: bench-lag
bench-lag: .venv/.dev ## Measure how long the event loop is kept from its work while pictures are worked on (ARGS=--help)
	@.venv/bin/python -m tests.load.loop_lag $(ARGS)

.PHONY: profile
profile: .venv/.dev ## Show where the server's time goes under load (Linux; ARGS='--workload list --sqlite')
	@.venv/bin/python -m tests.load.profiling $(ARGS)

.PHONY: bench-flat
bench-flat: .venv/.dev ## Measure how the cost of a question grows with the number of items (ARGS=--help)
	@.venv/bin/python -m tests.load.flat $(ARGS)

.PHONY: bench-messages
bench-messages: .venv/.dev ## Measure messages: how many a second, and how soon after the commit (ARGS=--help)
	@.venv/bin/python -m tests.load.messages $(ARGS)

# Rounds of the tests that have a small form in `make test`, and requests for each operation of the OpenAPI document.
ROUNDS ?= 50
EXAMPLES ?= 200
# Seconds of load on each engine while the server's memory is watched.
SECONDS ?= 600
# Schedules of each simulation.
SCHEDULES ?= 10000

.PHONY: soak
soak: .venv/.dev ## Run the long forms of the tests: kills, histories, memory, requests, seats, schedules (ROUNDS=50 EXAMPLES=200 SECONDS=600 SCHEDULES=10000)
	@SOAK_ROUNDS=$(ROUNDS) SOAK_EXAMPLES=$(EXAMPLES) SOAK_SECONDS=$(SECONDS) SOAK_SCHEDULES=$(SCHEDULES) \
		.venv/bin/pytest $(LONG) --timeout 0 $(ARGS)

# The tests that have a long form.
LONG = tests/faults/test_kill.py \
	tests/faults/test_uploads.py \
	tests/faults/test_memory.py \
	tests/core/overload/test_simulation.py \
	tests/simulation \
	tests/faults/test_messages_kill.py \
	tests/faults/test_streams.py \
	tests/flows/test_linearizable.py \
	tests/events/test_seat_races.py \
	tests/events/test_seat_model.py \
	tests/media/test_bombs.py \
	tests/conformance \
	tests/outside/test_docs_page.py \
	tests/outside/test_power_cut.py

.PHONY: mutants
mutants: .venv/.dev ## Make faults in what is simulated, and say how many of them the tests notice (ARGS='--number 80 --seed 1')
	@.venv/bin/python -m tests.simulation.mutants $(ARGS)

# What the next migration does, in a few words.
M ?=

.PHONY: revision
revision: .venv/.dev ## Write the next migration from the models (M="give items a colour")
	@.venv/bin/python migrations/revise.py "$(M)" $(ARGS)

.PHONY: docs
docs: .venv/.dev ## Make anew what the docs draw from the code
	@.venv/bin/python -m tests.architecture.refresh_docs

.PHONY: fix
fix: .venv/.dev ## Repair format and lint where a tool can
	@# What no tool can mend is shown, and keeps nothing from its format.
	.venv/bin/ruff check --fix .; found=$$?; .venv/bin/ruff format . && exit $$found

# Of what the image has of Python's, and of nothing else: an environment with its requirements alone.
.PHONY: sbom
sbom: .venv/.dev ## Write build/sbom.cdx.json (CycloneDX) and build/licences.txt of what the server is made of
	@rm -rf build/sbom && .venv/bin/uv venv --quiet --python .venv/bin/python build/sbom
	@.venv/bin/uv pip install --quiet --python build/sbom/bin/python --require-hashes -r requirements-image.lock
	@.venv/bin/uv pip install --quiet --python build/sbom/bin/python --no-deps --build-constraints requirements-dev.lock .
	@.venv/bin/uv tool run --quiet --from cyclonedx-bom==$(CYCLONEDX_BOM) cyclonedx-py environment --output-reproducible \
		--pyproject pyproject.toml --output-file build/sbom.cdx.json build/sbom/bin/python
	@.venv/bin/python -m tests.architecture.licences build/sbom.cdx.json > build/licences.txt && wc -l < build/licences.txt

CYCLONEDX_BOM = 7.2.1

.PHONY: lock
lock: .venv/.dev ## Resolve the lock files again (ARGS=--upgrade for the newest versions)
	.venv/bin/uv $(COMPILE) $(ARGS) --output-file requirements.lock
	.venv/bin/uv $(COMPILE) $(ARGS) $(COMPILE_IMAGE) --output-file requirements-image.lock
	.venv/bin/uv $(COMPILE) $(ARGS) $(COMPILE_DEV) --output-file requirements-dev.lock

COMPILE = pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	pyproject.toml
# The other locks take their versions from the runtime lock: what is tested is what is served.
COMPILE_IMAGE = --all-extras --constraints requirements.lock
COMPILE_DEV = --all-extras --group dev --constraints requirements.lock --constraints requirements-image.lock
