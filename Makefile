# The two commands that matter: `make sandbox` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A Go that scripts/prerequisites fetched goes behind the machine's own.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wire-deploy/tools
export PATH := $(PATH):$(TOOLS)/go/bin:$(TOOLS)/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)
WIRE_DEPLOY := $(TARGET)/debug/wire-deploy
# Tests that boot hosts, clusters or a browser; `make check` leaves them out.
HOST_TESTS := agent_on_a_host data_layer end_to_end image kubernetes pages sandbox services upgrade whole
ALL_TESTS := $(basename $(notdir $(wildcard tests/*.rs))) $(notdir $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs)))
# Those of wire-api that need nothing but this machine come last.
FAST_TESTS := $(filter-out $(HOST_TESTS),$(ALL_TESTS)) api store

.PHONY: sandbox test whole check bench build generate pictures prerequisites prerequisites-of-tests clean-sandbox help

sandbox: build ## Boot three real hosts on this machine, install every service on them, verify
	$(WIRE_DEPLOY) sandbox up --hosts 3
	$(WIRE_DEPLOY) sandbox run -- apply --yes
	$(WIRE_DEPLOY) sandbox run -- verify
	$(WIRE_DEPLOY) sandbox run -- smoke --address "$$(sed -n 's/^ *vip: //p' sandbox/hosts.yaml)"
	@printf '%s\n' '' \
	  'Three Debian hosts run a whole backend (`$(WIRE_DEPLOY) sandbox run -- status` lists them). What to try next:' \
	  '  $(WIRE_DEPLOY) sandbox run -- apply                   once more: nothing to do' \
	  '  $(WIRE_DEPLOY) sandbox ssh host1 systemctl status     look around' \
	  '  edit sandbox/wire-deploy.yaml, then sandbox run -- plan' \
	  '  $(WIRE_DEPLOY) sandbox down                           end it'

test: prerequisites-of-tests ## Run the tests, those on real hosts included; `make whole` has the two that take longest
	cargo test --locked --workspace --all-targets

whole: prerequisites-of-tests ## What takes longest: a whole backend on three hosts, tried by its clients, and an upgrade of Kubernetes; beside nothing else
	cargo test --locked --workspace --test upgrade --test whole

check: prerequisites-of-tests ## The fast part: format, lints, all tests that need no hosts
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --test upgrade --test whole -- -D warnings
	cargo test --locked --workspace --lib --bins $(FAST_TESTS:%=--test %)

bench: prerequisites ## Measure; see bench/README.md
	bench/run

build: prerequisites
	cargo build --locked

generate: ## Write the schemas, references and expected texts that are generated from the code; read the difference
	WIRE_DEPLOY_UPDATE=1 cargo test --locked --quiet --lib -- site
	WIRE_DEPLOY_UPDATE=1 cargo test --locked --quiet --test cases

pictures: prerequisites-of-tests ## Take the documentation's pictures of the reference pages anew
	WIRE_DEPLOY_UPDATE=1 cargo test --locked --quiet --test pages -- everybody

prerequisites: ## Install the programs that building, testing and the sandbox need
	@scripts/prerequisites

prerequisites-of-tests:
	@scripts/prerequisites test

clean-sandbox: ## End the sandbox and remove its site
	if [ -x $(WIRE_DEPLOY) ]; then $(WIRE_DEPLOY) sandbox down; fi
	rm -rf sandbox

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
