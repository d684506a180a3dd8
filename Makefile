# `make` lists what there is; CONTRIBUTING.md says when to use it.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-builtin-rules --no-print-directory

# Go where its own instructions put it, for shells that do not say so.
export PATH        := $(CURDIR)/.cache/tools:$(PATH):/usr/local/go/bin
# A clone that belongs to another user has no version to stamp; git refuses it.
export GOFLAGS     := $(strip -buildvcs=false $(filter-out -buildvcs%,$(shell go env GOFLAGS 2>/dev/null)))

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Weeks that `make simulate` lives through. A plain `go test ./...` does few, and
# `make unit` fewer, for the race detector makes each ten times as long.
SIM_WEEKS      ?= 1500
SIM_WEEKS_RACE ?= 12
# The same for runs of runbooks in pretended worlds.
SIM_ROLLS      ?= 100000
SIM_ROLLS_RACE ?= 100

# A pipeline has every test run again, and in another order each time.
FRESH := $(if $(CI),-count=1 -shuffle=on)

# Packages that have tests on real servers or in a browser.
E2E = $(shell grep -rlE --include='*_test.go' '^//go:build .*\<e2e\>' cmd internal 2>/dev/null | xargs -r dirname | sort -u | sed 's,^,./,')

# The lab makes namespaces and mounts, which is root's to do.
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo env PATH="$$PATH" GOFLAGS="$$GOFLAGS")

TOOLS := $(patsubst tools/%/go.mod,%,$(wildcard tools/*/go.mod))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##### To run it

.PHONY: demo
demo: ## Upkeep on this machine, until interrupted; changes nothing
	go run ./cmd/upkeep demo

.PHONY: build
build: ## bin/upkeep, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/upkeep ./cmd/upkeep

##### To test it

.PHONY: test
test: ## everything, on a bare Debian with Go: installs what is missing, then all checks below
	@scripts/test.sh setup tools -- lint generated modules unit simulate e2e

.PHONY: lint
lint: tools ## formatting, vet, linters, known vulnerabilities
	@scripts/unformatted.sh
	go vet ./...
	go vet -tags e2e ./...
	golangci-lint run
	shellcheck .ci/run scripts/*.sh runbooks/hosts/*
	@scripts/vulnerabilities.sh

.PHONY: generated
generated: tools ## what is generated is as its sources say
	@scripts/generated.sh

.PHONY: modules
modules: ## go.mod is tidy, and what was downloaded is what go.sum says
	go mod tidy -diff
	go mod verify

.PHONY: unit
unit: ## the tests of every package, under the race detector
	CGO_ENABLED=1 UPKEEP_SIM_WEEKS=$(SIM_WEEKS_RACE) UPKEEP_SIM_ROLLS=$(SIM_ROLLS_RACE) scripts/race.sh -timeout 20m $(FRESH)

.PHONY: simulate
simulate: ## SIM_WEEKS simulated weeks with faults, SIM_ROLLS runs of runbooks; UPKEEP_SIM_SEED repeats one
	UPKEEP_SIM_WEEKS=$(SIM_WEEKS) UPKEEP_SIM_ROLLS=$(SIM_ROLLS) go test -count=1 -timeout 40m ./internal/sim/...

# Two packages at once, for most of the time they wait.
.PHONY: e2e
e2e: ## real servers, real databases, a real browser; as root
	@test -n '$(E2E)' || { echo 'make e2e: no package has a test behind the tag e2e' >&2; exit 1; }
	@mkdir -p .cache && : >.cache/measured
	$(AS_ROOT) env UPKEEP_MEASURED=$(CURDIR)/.cache/measured go test -tags e2e -p 2 -count=1 -timeout 40m $(E2E)
	@cat .cache/measured

# A finding is written to testdata/fuzz beside its target; from then on every
# plain "go test" tries it.
FUZZTIME ?= 1m

.PHONY: fuzz
fuzz: ## every fuzz target, each for FUZZTIME (1m)
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd internal | sort | while IFS=: read -r file name; do \
		echo "==> $${name#func } in $${file%/*}"; \
		go test -run '^$$' -fuzz "^$${name#func }$$" -fuzztime $(FUZZTIME) "./$${file%/*}" </dev/null; \
	done

.PHONY: bench
bench: ## benchmarks, five times each, and their medians; takes half an hour
	@scripts/bench.sh .cache/bench.txt

.PHONY: bench-keystone
bench-keystone: ## a real Keystone restarted in four ways, three times each; a quarter of an hour, as root
	@BENCH_RUNS=3 BENCH_ONLY=keystone scripts/bench.sh .cache/bench-keystone.txt

##### To work on it

.PHONY: fmt
fmt: tools ## format everything
	golangci-lint fmt

.PHONY: generate
generate: tools ## generate again what is checked in
	go generate ./...
	find cmd internal -name '*.templ' -printf '%h\n' | sort -u | xargs -rI{} templ generate -log-level warn -path {}

.PHONY: changelog
changelog: ## what the next release would say
	@scripts/changelog.sh

.PHONY: setup
setup: ## install the Debian packages that tests need; asks for nothing when they are there
	@scripts/setup.sh

.PHONY: tools
tools: $(TOOLS:%=.cache/tools/%) ## build the developers' tools, at the versions in tools/

# A folder in tools/ is a module with one tool, so that each runs with the
# dependencies that its authors tested it with.
.cache/tools/%: tools/%/go.mod tools/%/go.sum
	go build -C tools/$* -trimpath -o $(CURDIR)/$@ tool
	@touch $@

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin .cache
