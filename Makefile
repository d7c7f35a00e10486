# Posthouse. `make help` says what there is. Everything installs what it needs and says so.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside the checkout, so that fresh clones share what was built.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/posthouse/target
DATA ?= data
NODE_BIN = $(shell tests/tools/need-node)
NPM = PATH="$(NODE_BIN):$$PATH" npm
POSTHOUSE = $(CARGO_TARGET_DIR)/debug/posthouse

.PHONY: help run setup test lint bench docs clean web build packages test-packages faults fuzz sim

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

packages:
	@tests/tools/need node/packages.txt

test-packages: packages
	@tests/tools/need tests/lab/packages.txt

web: node/web/dist/index.html ## Build the front end

node/web/dist/index.html: $(shell find node/web/src node/web/index.html node/web/package-lock.json node/web/vite.config.* -type f 2>/dev/null)
	@echo "Building the front end"
	cd node/web && $(NPM) ci --no-audit --no-fund && $(NPM) run build

build: packages web ## Build the program
	cargo build --locked -p posthouse

run: build ## Build, start a node on loopback ports, set it up, show that it works, print what to open
	@tests/tools/run $(POSTHOUSE) "$(DATA)"

setup: build ## Start a node without settings, to see the wizard
	@dir=$$(mktemp -d); echo "A node without settings, in $$dir"; $(POSTHOUSE) run --data "$$dir" --listen loopback

test: test-packages web ## Everything that must pass: lint, units, crash and power cut, real directory and clients, browser
	@tests/tools/test

lint: packages web ## Formatting, clippy, licences and advisories
	@tests/tools/lint

bench: packages web ## Side by side with Postfix, Dovecot, slapd and etcd, as ratios
	@tests/tools/need tests/tools/bench-packages.txt
	@tests/tools/bench
	@tests/tools/bench-cluster

faults: test-packages web ## Break a cluster of real nodes 1,000 times and judge what clients saw (FAULTS, FAULTS_SEED)
	@tests/tools/faults

sim: packages ## Simulated clusters with new seeds (POSTHOUSE_SIM_MINUTES=5)
	@tests/tools/sim

fuzz: packages ## Fuzz every parser for a while (FUZZ_SECONDS=60 each)
	@tests/tools/fuzz

docs: ## The administrator's guide as HTML, in the cache folder
	@tests/tools/docs

clean: ## Remove what was built, and the data folder of `make run`
	rm -rf node/web/dist node/web/node_modules "$(CARGO_TARGET_DIR)" "$(DATA)"
