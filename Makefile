# `make` lists the targets. What is longer than a line stands in .ci/.

SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# One module at a time and each by itself, as its users get it.
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

test: ## Test every module; TESTFLAGS=-race and the like are passed on
	$(call title,$(strip go test $(TESTFLAGS)))
	$(call each,go test $(TESTFLAGS) ./...)

lint: ## Run golangci-lint over every module; the first time compiles it
	$(call title,golangci-lint)
	@.ci/lint $(MODULES)

fuzz: ## Run each fuzz target for FUZZTIME (60s)
	$(call title,Fuzz targets for $(FUZZTIME) each)
	@.ci/fuzz $(FUZZTIME)

bench: ## Compare with other SDKs, some 5 minutes; writes benchmarks/RESULTS.md
	$(call title,This SDK beside its peers)
	@cd benchmarks && go run -trimpath .

bench-go: ## Run the Go benchmarks that match BENCH (all)
	$(call title,Benchmarks)
	$(call each,go test -run='^$$' -bench='$(BENCH)' -benchmem ./...)

chaos: ## Kill processes, lose answers, crash databases: minutes, with figures
	$(call title,Chaos)
	@export SPARKLOOP_CHAOS=full; for module in $(filter ./outbox/%,$(MODULES)); do \
		echo "-- $$module"; (cd "$$module" && go test -count=1 -parallel=3 -timeout=60m -v -run='^TestChaos' .); done

mutants: ## Change the code here and there: does a test notice? An hour
	$(call title,Mutation testing: at least 95% in each package)
	@.ci/mutants

# CI looks at what the last commit changed: all of it takes too long.
mutants-changed: ## The same for the lines that changed since SINCE (HEAD~1)
	$(call title,Mutation testing of the changes since $(SINCE))
	@.ci/mutants --since $(SINCE)

faults: ## Full disks, wrong clocks, failover, PgBouncer: what can be tried here
	$(call title,Faults)
	@.ci/faults

cover: ## Measure the statement coverage of the root package and internal/
	$(call title,Coverage: at least $(COVERAGE)%)
	@.ci/cover $(COVERAGE)

# A count of runs, not a time: when a time is up, Go before 1.27 now and then
# calls it a failure (golang/go#75804).
check: FUZZTIME  := 30000x
check: TESTFLAGS := -race -shuffle=on
check: TESTED     = $(shell go env GOVERSION)
check: gofmt vet tidy api actions lint test cover fuzz mutants-changed build quickstart release-check go-releases ## All that CI runs
	@printf '\nAll checks passed.\n'

gofmt: ## Show what gofmt would change
	$(call title,gofmt)
	@diff="$$(gofmt -d .)"; if [[ -n $$diff ]]; then echo "$$diff"; exit 1; fi

vet: ## Run go vet over every module
	$(call title,go vet)
	$(call each,go vet ./...)

tidy: ## Show what go mod tidy would change
	$(call title,go mod tidy -diff)
	$(call each,go mod tidy -diff)

api: ## Show what changed in the exported API
	$(call title,The exported API beside .ci/api.txt)
	@.ci/api

actions: ## Check the workflows in .github
	$(call title,actionlint)
	@go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

vuln: ## Look for known vulnerabilities in what each module calls; needs vuln.go.dev
	$(call title,govulncheck)
	$(call each,go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...)

build: ## Build every example, into .cache/examples/
	$(call title,go build of the examples)
	@cd examples && go build -o ../.cache/examples/ ./...
	@ls .cache/examples

# From the root with go.work, as the README says.
quickstart: ## Run the quickstart and look at its output
	$(call title,go run ./examples/quickstart)
	@mkdir -p .cache
	@GOWORK= env -u SPARKLOOP_API_KEY go run ./examples/quickstart | tee .cache/quickstart.txt
	@grep -qF '$(QUICKSTART_SAYS)' .cache/quickstart.txt || \
		{ echo 'The quickstart does not say "$(QUICKSTART_SAYS)".'; exit 1; }

release-check: ## Build and run users' programs with all released modules; VERSION=v0.2.0 prepares that one first
	$(call title,Programs of users)
	@.ci/release-check $(VERSION)

release: ## Prepare the release of all modules: make release VERSION=v0.1.0
	@.ci/release $(VERSION)

go-releases: ## Test every module with the newest toolchain of each supported Go release
	$(call title,go test on the newest of $(GO_RELEASES))
	@for release in $(GO_RELEASES); do toolchain=$$(.ci/newest-go $$release); echo "== $$toolchain"; \
		if [[ $$toolchain == "$(TESTED)" ]]; then echo "Tested above."; continue; fi; \
		$(MAKE) --no-print-directory test TESTFLAGS= GOTOOLCHAIN=$$toolchain; done
