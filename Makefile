# `make` lists the recipes. uv is fetched by pip if it is missing; all else is pinned in uv.lock.
SHELL := /bin/bash
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
PIPELINEKIT := .venv/bin/pipelinekit
EXAMPLES ?= 2000
MINUTES ?= 10

.PHONY: help setup demo test test-slow check bench oracle fuzz docs clean

help:  ## list the recipes
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

setup: .venv/.complete  ## make the environment, fetch Kafka and Flink, build Prism

ifeq ($(shell command -v uv 2>/dev/null),)
.venv/.complete: .uv/bin/uv
endif
.venv/.complete: pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --all-extras --compile-bytecode
	$(RUN) python -m compileall -q pipelinekit
	$(RUN) python -c "from pipelinekit.devstack.kafka_distribution import fetch; fetch(print)"
	$(RUN) python -c "from pipelinekit.devstack.flink import prepare; prepare(print)"
	$(RUN) python -m pipelinekit.devstack.prism_distribution
	@touch $@

demo: setup  ## run the example on real Kafka and the ClickHouse engine, half a minute
	@$(PIPELINEKIT) demo specs

test: setup check  ## what CI runs: lint, types, layers, all tests but the slow ones
	PIPELINEKIT_TEST_REQUIRE_SERVICES=1 $(RUN) pytest -q -m "not slow"

test-slow: setup  ## the minutes-long ones: kills, load, state at scale
	PIPELINEKIT_TEST_REQUIRE_SERVICES=1 $(RUN) pytest -q -m slow

check: setup  ## lint, types, layers, the example project
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(PIPELINEKIT) validate specs
	$(PIPELINEKIT) test specs --quiet

oracle: setup  ## thousands of random logs against the naive model; EXAMPLES=2000
	PIPELINEKIT_ORACLE_EXAMPLES=$(EXAMPLES) $(RUN) pytest -q tests/oracle --timeout 0

fuzz: setup  ## hostile specs, expressions and messages; MINUTES=10
	$(RUN) python -m tests.fuzz --minutes $(MINUTES)

bench: setup  ## the benchmark suite
	$(RUN) python -m benchmarks.queries

docs: setup  ## write the generated reference pages anew
	$(RUN) python docs/generate.py

clean:  ## remove the environment and caches of this folder
	rm -rf .venv .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis .pipelinekit
