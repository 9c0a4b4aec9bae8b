# The commands of the project, each one line in `make help`. Extra arguments: make test ARGS="tests/unit -k codec"
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
BIN := .venv/bin
PACKAGES := worker training deploy
MODEL := triton_repo/sentiment/1/model.onnx
ADAPTER := $(wildcard training/adapters/sentiment/*)
ARGS ?=
CHAOS ?= --seed 1 --minutes 20 --model-poison

# The tools of .venv, without activating it.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Where this is set, as in some containers, each process compiles its libraries anew: 14 seconds of processor time for torch's.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo embedding train-all test chaos fuzz mutation backtest bench deploy-check audit lint format model up down status clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything in it; at once when nothing changed
	@sh deploy/local/bootstrap.sh

demo: setup ## run the main job on a stack of its own, live in the terminal
	@tidings demo $(ARGS)

up: setup $(MODEL) ## start Kafka, Redis and Triton on this machine
	@tidings up $(ARGS)

down: setup ## stop them
	@tidings down $(ARGS)

status: setup ## say what is running and where
	@tidings status $(ARGS)

model: setup $(MODEL) ## export the model for Triton, unless it is there and newer than the adapter

$(MODEL): $(ADAPTER) | setup
	@tidings export
	@touch $@

embedding: setup $(MODEL) ## export the second model too, for topics known by their meaning
	@tidings export --embedding

train-all: setup ## train every model that comes with the package, and measure all in one report; goes on where it stopped
	@tidings train-all $(ARGS)

test: setup $(MODEL) ## run every test, those on a real Kafka, Redis and Triton too
	@pytest $(ARGS)

chaos: setup ## break everything for 20 minutes, and count what was lost or doubled
	@tidings chaos $(CHAOS) $(ARGS)

fuzz: setup ## a million mutated messages through the worker, and every parser under atheris
	@python -m tests.fuzz $(ARGS)

mutation: setup ## change the alert code in thousands of small ways: at most 5 % may go unnoticed; hours, goes on where it stopped
	@nice -n 19 python -m tests.mutation $(ARGS)

backtest: setup $(MODEL) ## prove the alert rules on real data: the Numenta benchmark, planted incidents, airline tweets
	@python -m tests.benchmarks.proof $(ARGS)

deploy-check: setup ## the chart: lint, schemas, policy, settings, metrics, a server; ARGS=--no-server or --quick for less
	@python -m deploy.check $(ARGS)

bench: setup $(MODEL) ## measure the worker against the model alone and against other systems: half an hour, refreshes the README
	@tidings bench --readme $(ARGS)

audit: setup ## look the pinned dependencies up among known vulnerabilities
	@python -m tests.security.audit $(ARGS)

lint: setup ## ruff, mypy, hadolint, the compose files against their schema
	ruff check .
	ruff format --check .
	mypy $(PACKAGES:%=-p %) -p tests
	hadolint deploy/docker/Dockerfile deploy/docker/Dockerfile.training
	check-jsonschema --builtin-schema vendor.compose-spec deploy/compose*.yaml

format: setup ## let ruff put things right
	ruff check --fix .
	ruff format .

clean: ## remove what was built and run; keeps .venv and the downloads in .cache
	rm -rf build dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .tidings/runs
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
	find triton_repo -name '*.onnx' -delete
	rm -rf triton_repo/embedding
