# What a person types; README.md says what each is for.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# One target directory for every checkout, so that the second one compiles only what differs. Guests have their own:
# a cargo inside a cargo that shares its directory waits for ever.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/mesh/target
export MESH_GUESTS_TARGET_DIR ?= $(CARGO_TARGET_DIR)/guests
export PATH := $(CURDIR)/.tools/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

# Scenarios start servers and hosts of their own: more of them at once than this only wait for each other.
export RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))

STEP := checks/step.sh
GUESTS := $(wildcard examples/Cargo.toml tests/guests/Cargo.toml tests/releases/*/Cargo.toml)
TEMPLATES := $(wildcard ctl/templates/*/Cargo.toml)

.PHONY: demo test check bench fuzz rig tools build guests

demo: tools
	@demo/build.sh
	@demo/demo.sh

test: tools guests
	@$(STEP) build cargo build --locked --workspace --bins --tests
	@$(STEP) tests cargo test --locked --workspace

check: tools
	@$(STEP) "the checks themselves" python3 -m unittest discover --quiet --start-directory checks
	@$(STEP) words checks/words.py
	@$(STEP) licences checks/licences.py
	@$(STEP) dependencies checks/dependencies.py
	@$(STEP) orphans checks/orphans.py
	@$(STEP) advisories checks/advisories.sh
	@$(STEP) fmt cargo fmt --all --check
	@for each in $(GUESTS) $(TEMPLATES); do $(STEP) "fmt $$each" cargo fmt --all --check --manifest-path $$each; done
	@$(STEP) clippy cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(STEP) "fmt fuzz" cargo fmt --all --check --manifest-path fuzz/Cargo.toml
	@for each in $(GUESTS); do $(STEP) "clippy $$each" cargo clippy --locked --manifest-path $$each \
		--target wasm32-wasip2 --target-dir $(MESH_GUESTS_TARGET_DIR) --lib --examples -- -D warnings; done
	@for each in $(TEMPLATES); do $(STEP) "clippy $$each" cargo clippy --locked --workspace --manifest-path $$each \
		--target wasm32-wasip2 --target-dir $(MESH_GUESTS_TARGET_DIR) --lib -- -D warnings; done
	@RUSTDOCFLAGS="-D warnings" $(STEP) docs cargo doc --locked --workspace --no-deps

bench: tools guests
	@$(STEP) "build, optimised" cargo build --locked --release -p meshctl -p mesh-host --bins
	@cargo bench --locked -p mesh-runtime --bench instantiate --bench hello
	@cargo bench --locked -p mesh-transcode --bench bytes
	@cargo bench --locked -p mesh-transport --bench echo
	@cargo bench --locked -p mesh-tests --bench lattice

fuzz:
	@checks/tools.sh fuzz
	@fuzz/run.sh

# One scenario of the fault rig; `make rig RIG="partition --seed 7"`, `make rig RIG=--help`.
RIG ?= nats-restarts
rig: tools guests
	@$(STEP) build cargo build --locked --workspace --bins
	@$(CARGO_TARGET_DIR)/debug/mesh-rig $(RIG)

tools:
	@checks/tools.sh

# `meshctl up` finds meshd and nats-server beside itself, wherever it is run.
build: tools
	@$(STEP) build cargo build --locked -p meshctl -p mesh-host --bins
	@[ ! -x .tools/bin/nats-server ] || ln -sf "$(CURDIR)/.tools/bin/nats-server" "$(CARGO_TARGET_DIR)/debug/"

guests:
	@for each in $(GUESTS); do $(STEP) "build $$each" cargo build --locked --release --manifest-path $$each \
		--target wasm32-wasip2 --target-dir $(MESH_GUESTS_TARGET_DIR) --lib --examples; done
