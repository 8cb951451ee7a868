# `make run` and `make test` need a Rust toolchain and, on Debian or Ubuntu,
# nothing else: what is missing of the system is said and installed.

SHELL := /bin/sh
CARGO ?= $(shell command -v cargo || echo "$$HOME/.cargo/bin/cargo")
export TOCSIN_PACKAGES

.DEFAULT_GOAL := help
.PHONY: help run test soak build check clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## build and play the shipped incident; http://127.0.0.1:9650/ until Ctrl-C
	@tools/system-packages.sh run
	@echo "building; the first time takes some minutes"
	@$(CARGO) build --locked
	@exec $(CARGO) run --quiet --locked -- demo

test: ## every test, the live ones against real journald, dockerd, Prometheus and SMTP
	@tools/system-packages.sh test
	@echo "building; the first time takes some minutes"
	SIMULATION_SEEDS=$${SIMULATION_SEEDS:-10000} $(CARGO) test --locked --workspace --all-targets

# What `make soak` does at least: kills, seconds of the storm (0: as long as the
# kills take), the seed of the storm, seeds of the simulation.
KILLS ?= 300
DURATION ?= 0
SEED ?= $(shell date +%s)
SEEDS ?= 100000
# Rounds of the cluster.
ROUNDS ?= 10

soak: ## the long forms of storm, simulation and limits: KILLS=300 DURATION=0 SEED=.. SEEDS=100000 ROUNDS=10
	@tools/system-packages.sh test
	STORM_KILLS=$(KILLS) STORM_SECONDS=$(DURATION) STORM_SEED=$(SEED) \
		$(CARGO) test --locked --test live -- storm:: --nocapture
	SIMULATION_SEEDS=$(SEEDS) $(CARGO) test --locked --test it -- simulation:: --nocapture
	CLUSTER_ROUNDS=$(ROUNDS) $(CARGO) test --locked --test live -- cluster:: --nocapture
	TOCSIN_SOAK=1 $(CARGO) test --locked --test live -- bounds:: --nocapture

build: ## the release binary, target/release/tocsin
	@tools/system-packages.sh run
	$(CARGO) build --release --locked

check: ## formatting and lints
	@tools/system-packages.sh run
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --quiet -- -D warnings

clean: ## remove what was built
	$(CARGO) clean
