# `make` alone lists the targets. `make run` and `make test` need nothing beforehand but Rust: what else is missing
# they install through scripts/setup.

.DEFAULT_GOAL := help
.PHONY: help setup run build test fmt lint check clean-data

# Without this, a make that was started by another make ends its output with its own "Leaving directory" line.
MAKEFLAGS += --no-print-directory

# rustup installs here, and a shell that was open at the time does not have it in its PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

BINARY := $(or $(CARGO_TARGET_DIR),./target)/release/credit-approval

# Every integration-test target of the workspace, found rather than listed, so that a new file is never left out.
TEST_FILES := $(wildcard tests/*.rs aggregates/tests/*.rs projections/tests/*.rs)
TEST_DIRS := $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs aggregates/tests/*/main.rs projections/tests/*/main.rs))
TEST_TARGETS := $(sort $(notdir $(basename $(TEST_FILES)) $(TEST_DIRS)))
QUICK_TESTS := $(addprefix --test ,$(filter-out integration,$(TEST_TARGETS)))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: PostgreSQL, nats-server, a C compiler
	@scripts/setup

# The service brings its own PostgreSQL and nats-server under DATA_DIR (default .data), unless DATABASE_URL and NATS_URL
# name others, and then it needs none installed. The last line is a single simple command: make runs it without a shell
# between, so Ctrl-C reaches the service once, make waits for its clean stop, and adds nothing of its own.
run: ## build, and serve on http://127.0.0.1:8000 with sample data
	@WITHOUT_POSTGRES="$${DATABASE_URL:-$${DATABASE_URL_FILE:-$${WITHOUT_POSTGRES:-}}}" WITHOUT_NATS="$${NATS_URL:-$${NATS_URL_FILE:-$${WITHOUT_NATS:-}}}" scripts/setup
	cargo build --release --bin credit-approval
	@$(BINARY) serve --sample-data

build: setup ## build the release binary
	cargo build --release --bin credit-approval

# All of `cargo test --workspace`, in an order: the quick tests fail first, and the integration tests come last, so that
# the last "test result:" line is theirs and not that of an empty doc-test run. Each line selects the whole workspace:
# a narrower selection would unify features differently and compile the dependencies again.
test: setup ## run all tests; the integration tests start their own PostgreSQL and nats-server
	cargo test --workspace --doc
	cargo test --workspace --lib --bins --examples $(QUICK_TESTS)
	cargo test --workspace --test integration
	@# The run's servers and files go when it has ended; wait until they have.
	@for _ in $$(seq 100); do pgrep -f '[c]redit-approval-test-' >/dev/null 2>&1 || break; sleep 0.1; done

fmt: ## format the code
	cargo fmt --all

lint: setup ## clippy, with warnings as errors
	cargo clippy --workspace --all-targets -- -D warnings

check: ## all that continuous integration checks: format, dependencies, lints, tests
	@.ci/run

clean-data: ## remove .data, the data of `make run`, if no service runs on it
	@for pid_file in $$(find .data -name postmaster.pid 2>/dev/null); do \
		pid=$$(head -n 1 "$$pid_file"); \
		if ps -p "$$pid" >/dev/null 2>&1; then \
			echo "clean-data: PostgreSQL (process $$pid) runs on .data; stop the service first" >&2; exit 1; \
		fi; \
	done
	rm -rf .data

# `make chaos CHAOS_SECONDS=3600` runs longer; a run that fails names the CHAOS_SEED that repeats it.
.PHONY: chaos
CHAOS_SECONDS ?= 600
chaos: setup ## kill, freeze and wipe servers and processes under load for CHAOS_SECONDS (600), then judge the log
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(if $(CHAOS_SEED),CHAOS_SEED=$(CHAOS_SEED) )cargo test --workspace --test integration chaos -- --nocapture

.PHONY: check-deploy try-deploy
check-deploy: ## hold what is deployed (compose, Kubernetes, Prometheus, NATS) against its schemas
	@deploy/check

try-deploy: setup ## run the processes of docker-compose.yml without Docker, kill one of each, and look
	@deploy/without-docker

.PHONY: openapi fuzz
openapi: ## write the API's description to docs/openapi.json
	@mkdir -p docs
	cargo run --bin credit-approval -- openapi > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

# A run that finds something prints the FUZZ_SEED that repeats it.
FUZZ_SECONDS ?= 600
fuzz: setup ## send what the API's description allows and forbids to a service of its own for FUZZ_SECONDS (600)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz-api

.PHONY: metrics monitoring
metrics: setup ## write the table of metrics to docs/metrics.md
	WRITE_METRICS=1 cargo test --workspace --test integration observability::catalogue::the_document

monitoring: ## check and try the alerts, and check the dashboards' queries, with promtool if it is installed
	@scripts/check-monitoring

# `make bench BENCH="--only requests --rounds 3"` measures a part; `cargo bench --bench suite -- --help` lists what there is.
.PHONY: bench bench-quick
bench: setup ## measure the service and its limits side by side; the table also goes to target/bench.json
	cargo bench --bench suite -- $(BENCH)

bench-quick: setup ## the same in under three minutes
	cargo bench --bench suite -- --quick $(BENCH)
