# `make` lists what there is. Logic lives in Swift; a target is one readable command.
SEED ?=
RUNS ?=
SCENARIO ?=
CONFIGS ?= cluster-configs/local
ROOST = .build/release/roost
SOURCES = Package.swift Sources Tests

.PHONY: help build release run test sim lint format bench docs check clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

build: ## debug build of everything, tests included
	swift build --build-tests

release: ## optimised build of the roost program
	swift build -c release --product roost

run: release ## three nodes on localhost; ctrl-C stops them (CONFIGS=dir for others)
	$(ROOST) cluster $(CONFIGS)

test: release ## everything that must hold, and a short simulation
	ROOST_BINARY=$(CURDIR)/$(ROOST) swift test
	$(ROOST) simulate RUNS=200

sim: release ## SEED=n replays one run, RUNS=n draws fresh ones
	$(ROOST) simulate $(if $(SEED),SEED=$(SEED)) $(if $(RUNS),RUNS=$(RUNS)) $(if $(SCENARIO),SCENARIO=$(SCENARIO))

bench: release ## load the cluster that `make run` started
	$(ROOST) bench put
	$(ROOST) bench get
	$(ROOST) bench get --stale

lint: ## formatting as .swift-format says
	swift format lint --strict --recursive $(SOURCES)

format: ## bring the sources into that form
	swift format --in-place --recursive $(SOURCES)

check: lint build test ## what CI runs

clean: ## remove what was built, and the local cluster's data
	rm -rf .build .roost
