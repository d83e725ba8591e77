# Two commands matter: make demo, make test. CONTRIBUTING.md explains the rest.
GO      ?= go
BIN     := bin
TOOL    := $(GO) tool -modfile=tools/go.mod
COUNT   ?= 5
SCALE   ?= 1
RUN     ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/pquic-go/pquic/cmd/internal/cliutil.version=$(VERSION)

.PHONY: all build demo test race check fmt vet staticcheck depguard cross generate plugins interop bench bench-peers bench-plugins bench-vm fuzz clean

all: build

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

# Serve a file of 100 MB on loopback, fetch it, compare its hash.
demo: build
	./scripts/demo.sh $(BIN)

test:
	$(GO) test ./...
	cd bench && $(GO) test ./...
	cd interop && $(GO) test ./...

# What has goroutines or atomics runs under the race detector; the engine itself
# has neither.
race:
	$(GO) test -race -short ./protoops ./core/stream ./core/token ./hoststack/... ./vm ./plugins

check: fmt vet staticcheck depguard cross generate race

fmt:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'gofmt: run gofmt -w on the files above' >&2; exit 1; }

vet:
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	cd interop && $(GO) vet ./...

staticcheck:
	$(TOOL) staticcheck ./...

depguard:
	$(TOOL) golangci-lint run ./...

# The portable paths have to build everywhere.
cross:
	GOOS=linux GOARCH=arm64 $(GO) build ./...
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	GOOS=windows GOARCH=amd64 $(GO) build ./...

# Generated files are committed; this rebuilds them and fails if they changed.
generate:
	$(GO) run ./internal/opsgen
	$(GO) run ./internal/sdkgen
	git diff --exit-code -- ARCHITECTURE.md docs core plugins/sdk

# The objects of the plugins are committed too; this compiles them again by
# clang 19 and fails if they changed.
plugins:
	$(GO) build -o $(BIN)/ ./cmd/pquic-plugin
	./scripts/plugins.sh $(BIN)/pquic-plugin
	git diff --exit-code -- plugins

# MATRIX holds flags, see interop/README.md.
interop: build
	cd interop && PQUIC_BIN=$(CURDIR)/$(BIN) $(GO) run ./cmd/matrix $(MATRIX)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-peers: build
	cd bench && $(GO) run ./cmd/bench-peers -count $(COUNT) -scale $(SCALE) $(if $(RUN),-run '$(RUN)')

# What plugins cost on real traffic, against the engine without them. SCALE=0.1
# is a quick look.
bench-plugins:
	cd bench && $(GO) run ./cmd/bench-plugins -count $(COUNT) -scale $(SCALE) $(if $(RUN),-run '$(RUN)')

# The machine's targets: entering, host calls, fields, compute loops against Go.
bench-vm:
	$(GO) test -run '^$$' -bench . -benchmem ./vm

fuzz:
	./scripts/fuzz.sh

clean:
	rm -rf $(BIN) dl
