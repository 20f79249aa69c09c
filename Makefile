# Foyer. `make help` lists the targets; README.md says which two you need.
SHELL      := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# CLUSTER=current uses the current kube context instead of a cluster made here.
CLUSTER    ?= local
# IMAGE is what the cluster runs. With CLUSTER=current it must be one that cluster can pull.
IMAGE      ?= ghcr.io/foyer-matrix/foyer:dev
NAMESPACE  := foyer-system
LDFLAGS    := -s -w -X github.com/foyer-matrix/foyer/internal/command.version=$(VERSION)
# goolm: the tests' Matrix client encrypts in pure Go, without libolm.
TAGS       := goolm
TOOLS      := go tool -modfile=hack/lint.mod
KUBE       := bin/cluster
FUZZTIME   ?= 5m

##@ The two commands
.PHONY: up test
up: $(if $(filter local,$(CLUSTER)),cluster-up load) ## From nothing to a running Matrix on Kubernetes (CLUSTER=current: on yours)
	@$(cluster-env) hack/up.sh $(NAMESPACE) $(IMAGE)

test: assets cluster-up load ## Every test: units, both databases, a real API server, end to end on a real cluster
	$(MAKE) test-fast
	$(MAKE) e2e

##@ Parts of it
.PHONY: test-fast e2e assets build image load cluster cluster-up down postgres jssdk
test-fast: assets postgres jssdk ## All tests but those on the cluster
	eval "$$($(KUBE) env)"; go test -tags $(TAGS) -timeout 30m $$(go list ./... | grep -v /test/e2e)
	go test -C hack/cluster ./...

e2e: cluster-up load ## The end-to-end tests alone
	eval "$$($(KUBE) env)"; FOYER_IMAGE=$(IMAGE) go test -tags $(TAGS),e2e -count=1 -timeout 40m -v ./test/e2e/...

assets: cluster ## kube-apiserver and etcd for the tests of controllers
	$(KUBE) assets

postgres: ## Postgres for the tests of the store (Debian package postgresql)
	@compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || \
	  { echo "installing Postgres"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; }

jssdk: ## matrix-js-sdk and its Node.js for the tests of clients (npm of the Debian package npm)
	@command -v npm >/dev/null || \
	  { echo "installing npm"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm; }
	npm ci --prefix test/jssdk --silent

build: ## bin/foyer, static, for this machine (GOARCH=arm64 for another)
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/foyer .
	@test "$$(stat -c %s bin/foyer)" -le 94371840 || { echo "bin/foyer is larger than 90 MB"; exit 1; }

image: build cluster ## dist/foyer.tar, an image archive
	mkdir -p dist
	$(KUBE) image --binary bin/foyer --name $(IMAGE) --out dist/foyer.tar

load: image cluster-up ## Put the image into the local cluster
	$(KUBE) load dist/foyer.tar

cluster:
	@mkdir -p bin; go build -C hack/cluster -o ../../$(KUBE) .

cluster-up: cluster ## A real one-node Kubernetes on this machine
	$(KUBE) up --install-packages

down: cluster ## Stop the local cluster and all it started (volumes stay; `bin/cluster down --purge` drops them)
	$(KUBE) down

##@ For those who change it
.PHONY: generate endpoint-tests verify lint fuzz bench catalogue help
generate: postgres ## Everything that is generated: deepcopy, CRDs, RBAC, references, chart copies
	go run ./hack/generate
	go test ./internal/homeserver ./internal/homeserver/store/storetest ./internal/manifest/homeserver -run 'EndpointReference|SchemaFile|Golden' -update >/dev/null

endpoint-tests: postgres ## Which test shows each endpoint of the homeserver, recorded anew from all of its tests
	rm -rf bin/calls internal/homeserver/testdata/endpoint_tests.txt; mkdir -p bin/calls
	FOYER_RECORD_CALLS=$(CURDIR)/bin/calls go test -tags $(TAGS) -count=1 -timeout 30m ./internal/homeserver ./internal/homeserver/adminapi ./internal/homeserver/clientapi ./internal/homeserver/e2ee
	FOYER_RECORD_CALLS=$(CURDIR)/bin/calls go test ./internal/homeserver -run EndpointReference -update

verify: generate ## Fail when generated files are not up to date
	@test -z "$$(git status --porcelain)" || { git status --short; git diff | head -100; exit 1; }

lint: ## golangci-lint, built from its Go module
	$(TOOLS) golangci-lint run ./...

fuzz: ## Every fuzz target for FUZZTIME each
	@for file in $$(grep -rl '^func Fuzz' --include='*_test.go' .); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file); do \
	    echo "== $$target"; go test -tags $(TAGS) ./$$(dirname $$file) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); done; done

bench: build assets ## Figures beside the machine's own limits
	go run -tags $(TAGS) ./bench
	eval "$$($(KUBE) env)"; go run -tags $(TAGS) ./bench -operator 100

catalogue: ## Which lines of docs/catalogue.md have a test
	@go run ./hack/catalogue

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.DEFAULT_GOAL := help
cluster-env = $(if $(filter local,$(CLUSTER)),eval "$$($(KUBE) env)"; export PATH="$$FOYER_CLUSTER_BIN:$$PATH";)
