# `make` lists the targets. Longer recipes are scripts in .ci/.

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Each module on its own, as users get it.
export GOWORK := off
MODULES := $(sort $(patsubst %/go.mod,%,$(shell \
	find . \( -name testdata -o -name '.?*' \) -prune -o -name go.mod -print)))

TESTFLAGS ?=
BENCH     ?= .
FUZZTIME  ?= 60s
VERSION   :=
COVERAGE  := 95.0
GO_RELEASES := 1.26 1.27
SINCE     ?= HEAD~1

# What the quickstart's output must contain.
QUICKSTART_SAYS := Confirmed

title = @printf '\n== %s\n' '$(1)'
each  = @for module in $(MODULES); do echo "-- $$module"; (cd "$$module" && $(1)); done

.PHONY: faults help test lint fuzz bench bench-go chaos mutants mutants-changed cover check gofmt vet tidy api actions vuln build quickstart release-check release go-releases

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Test every module; TESTFLAGS are passed to go test
	$(call title,$(strip go test $(TESTFLAGS)))
	$(call each,go test $(TESTFLAGS) ./...)

lint: ## Run golangci-lint in every module; compiled at first use
	$(call title,golangci-lint)
	@.ci/lint $(MODULES)

fuzz: ## Run each fuzz target for FUZZTIME (60s)
	$(call title,Fuzz targets for $(FUZZTIME) each)
	@.ci/fuzz $(FUZZTIME)

bench: ## Compare with other SDKs (5 minutes); writes benchmarks/RESULTS.md
	$(call title,Comparison with other SDKs)
	@cd benchmarks && go run -trimpath .

bench-go: ## Run the Go benchmarks that match BENCH (default: all)
	$(call title,Benchmarks)
	$(call each,go test -run='^$$' -bench='$(BENCH)' -benchmem ./...)

chaos: ## Kill processes, lose answers, crash databases (minutes)
	$(call title,Chaos)
	@export SPARKLOOP_CHAOS=full; for module in $(filter ./outbox/%,$(MODULES)); do \
		echo "-- $$module"; (cd "$$module" && go test -count=1 -parallel=6 -timeout=60m -v -run='^TestChaos' .); done

mutants: ## Mutation testing: a test must fail for each change (an hour)
	$(call title,Mutation testing: at least 95% in each package)
	@.ci/mutants

# CI tests the last commit's lines, because all lines take too long.
mutants-changed: ## Mutation testing of the lines changed since SINCE (HEAD~1)
	$(call title,Mutation testing of the changes since $(SINCE))
	@.ci/mutants --since $(SINCE)

faults: ## Full disks, wrong clocks, failover, PgBouncer, PostgreSQL versions
	$(call title,Faults)
	@.ci/faults

cover: ## Measure the statement coverage of the root package and internal/
	$(call title,Coverage: at least $(COVERAGE)%)
	@.ci/cover $(COVERAGE)

# A count, not a time: Go before 1.27 may fail when the time ends
# (golang/go#75804).
check: FUZZTIME  := 3000x
check: TESTFLAGS := -race -shuffle=on
check: TESTED     = $(shell go env GOVERSION)
check: gofmt vet tidy api actions lint test cover fuzz mutants-changed build quickstart release-check go-releases ## Run all checks of CI
	@printf '\nAll checks passed.\n'

gofmt: ## Show what gofmt would change
	$(call title,gofmt)
	@diff="$$(gofmt -d .)"; if [[ -n $$diff ]]; then echo "$$diff"; exit 1; fi

vet: ## Run go vet in every module
	$(call title,go vet)
	$(call each,go vet ./...)

tidy: ## Show what go mod tidy would change
	$(call title,go mod tidy -diff)
	$(call each,go mod tidy -diff)

api: ## Compare the exported API with .ci/api.txt
	$(call title,The exported API compared with .ci/api.txt)
	@.ci/api

actions: ## Check the workflows in .github
	$(call title,actionlint)
	@go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

vuln: ## Run govulncheck in every module; needs vuln.go.dev
	$(call title,govulncheck)
	$(call each,go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...)

build: ## Build every example, into .cache/examples/
	$(call title,go build of the examples)
	@cd examples && go build -o ../.cache/examples/ ./...
	@ls .cache/examples

# From the root with go.work, as in the README.
quickstart: ## Run the quickstart and check its output
	$(call title,go run ./examples/quickstart)
	@mkdir -p .cache
	@GOWORK= env -u SPARKLOOP_API_KEY go run ./examples/quickstart | tee .cache/quickstart.txt
	@grep -qF '$(QUICKSTART_SAYS)' .cache/quickstart.txt || \
		{ echo 'The output of the quickstart does not contain "$(QUICKSTART_SAYS)".'; exit 1; }

release-check: ## Build and run users' programs with all released modules; VERSION=v0.2.0 prepares that version first
	$(call title,Programs of users)
	@.ci/release-check $(VERSION)

release: ## Prepare the release of all modules: make release VERSION=v0.1.0
	@.ci/release $(VERSION)

go-releases: ## Test every module with the newest toolchain of each supported Go release
	$(call title,go test on the newest of $(GO_RELEASES))
	@for release in $(GO_RELEASES); do toolchain=$$(.ci/newest-go $$release); echo "== $$toolchain"; \
		if [[ $$toolchain == "$(TESTED)" ]]; then echo "Tested above."; continue; fi; \
		$(MAKE) --no-print-directory test TESTFLAGS= GOTOOLCHAIN=$$toolchain; done
