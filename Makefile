# `make` lists what there is. Logic lives in Swift; a target is one readable command.
SEED ?=
SECONDS ?= 60
RUNS ?=
SEEDS ?=
SCENARIO ?=
MUTANTS ?=
CONFIGS ?= cluster-configs/local
ROOST = .build/release/roost
SOURCES = Package.swift Sources Tests

.PHONY: help build release run test sim fuzz clients lint format bench bench-compare bench-failover bench-footprint bench-growth docs check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## debug build of everything, tests included
	swift build --build-tests

release: ## optimised build of the roost program
	swift build -c release --product roost

run: release ## three nodes on localhost; ctrl-C stops them (CONFIGS=dir for others)
	$(ROOST) cluster $(CONFIGS)

test: release ## everything that must hold, and a short simulation
	swift test --skip '^ClusterTests\.'
	ROOST_BINARY=$(CURDIR)/$(ROOST) swift test --skip-build --no-parallel --filter '^ClusterTests\.'
	$(ROOST) simulate SCENARIO=all
	$(ROOST) simulate SEEDS=regressions
	$(ROOST) simulate RUNS=200

sim: release ## SEED=n, RUNS=n fresh ones, SEEDS=regressions, SCENARIO=name|all|list, MUTANTS=1
	$(ROOST) simulate $(if $(SEED),SEED=$(SEED)) $(if $(RUNS),RUNS=$(RUNS)) $(if $(SEEDS),SEEDS=$(SEEDS)) $(if $(SCENARIO),SCENARIO=$(SCENARIO)) $(if $(MUTANTS),MUTANTS=$(MUTANTS))

fuzz: ## hostile input for everything that reads bytes: SECONDS=n for each parser, SEED=n
	ROOST_FUZZ_SECONDS=$(SECONDS) ROOST_FUZZ_SEED=$(SEED) swift test -c release --filter '^FuzzTests\.'

clients: release ## run programs written for Consul against a cluster; says what is not installed
	python3 Tests/Clients/clients.py $(ROOST)

bench: release ## the standard table: three nodes on free ports, in a temporary folder
	$(ROOST) bench table

bench-compare: release ## the same work beside etcd, nginx and Consul, as far as they are installed
	$(ROOST) bench compare

bench-failover: release ## leader killed, leader frozen: gaps between acknowledged writes
	$(ROOST) bench failover --rounds 50
	$(ROOST) bench failover --rounds 50 --freeze

bench-footprint: release ## memory, idle cost, cold start, restart, snapshots, ten thousand watchers, ten thousand checks
	$(ROOST) bench footprint
	$(ROOST) bench snapshots
	$(ROOST) bench watch
	$(ROOST) bench checks

bench-growth: release ## clients, values, keys, instances, nodes, snapshots: what a request costs as they grow
	$(ROOST) bench growth

lint: ## formatting as .swift-format says
	swift format lint --strict --recursive $(SOURCES)

format: ## bring the sources into that form
	swift format --in-place --recursive $(SOURCES)

docs: ## every module's pages as a browsable site in .build/docs
	swift package dump-symbol-graph --minimum-access-level package
	mkdir -p .build/docs
	for catalog in Sources/*/*.docc; do name=$$(basename $$catalog .docc); \
	  mkdir -p .build/docs/graphs/$$name; \
	  cp .build/*/symbolgraph/$$name.symbols.json .build/docs/graphs/$$name/ 2>/dev/null; \
	  docc convert $$catalog --fallback-display-name $$name --fallback-bundle-identifier roost.$$name \
	    --additional-symbol-graph-dir .build/docs/graphs/$$name --output-path .build/docs/$$name \
	    || exit 1; \
	done

check: lint build test ## what CI runs

clean: ## remove what was built, and the local cluster's data
	rm -rf .build .roost
