GO       ?= go
LINT     := bin/golangci-lint
LINT_VER := v2.15.0

.PHONY: all fmt lint test deps vectors browser fuzz network microbench bench bench-deps bench-full bench-guard bench-baseline bench-page build clean

all: fmt lint test ## format, lint, test

fmt: ; gofmt -w cmd internal bench

lint: $(LINT) ; $(LINT) run ./...

test: deps ; $(GO) vet ./... && $(GO) test -race -shuffle=on -timeout 20m ./...

deps: ; sh .ci/deps

build: ; $(GO) build -o bin/sno ./cmd/sno

vectors: ; $(GO) test -race -run Vectors ./internal/...

browser: deps ; $(GO) test -race -run Browser ./internal/...

fuzz: ; sh .ci/fuzz 60s

network: ; SNO_TEST_NETWORK=1 $(GO) test -count=1 -v -run SilentDeathOfAStream ./internal/contract

microbench: ; $(GO) test -run '^$$' -bench . ./internal/...

bench-deps: ; sh bench/deps

bench: bench-deps ; $(GO) run ./bench/compare

bench-full: bench-deps ; $(GO) run ./bench/compare -set full -json bin/bench/full.json

bench-guard: bench-deps ; $(GO) run ./bench/compare -guard bench/baseline.json

bench-baseline: bench-deps ; $(GO) run ./bench/compare -write-baseline bench/baseline.json

bench-page: bench-deps
	$(GO) run ./bench/compare -set full -json docs/performance.json
	$(GO) run ./bench/chart -report docs/performance.json -page docs/performance.md -svg docs/performance.svg

clean: ; rm -rf bin

$(LINT): ; GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)
