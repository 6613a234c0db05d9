# Everything runs in .venv, built once and reused until a file of requirements changes. It grows with
# what is asked for: a target installs what it needs (docs/QUICKSTART.md).
PYTHON ?= python3
VENV ?= .venv
# Build of PyTorch: auto, pypi, cpu, cu130 and so on (utils/tools/install_torch.py).
TORCH ?= auto
TEST_JOBS ?= 2
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
TOOLS := $(VENV)/.ready-dev
DOCS := $(VENV)/.ready-docs
APP := $(VENV)/.ready-app
# On a terminal pip shows downloads with the time left.
PIP := $(RUN) -m pip install --disable-pip-version-check $(shell test -t 2 || echo --quiet)
SOURCES := models data utils tests main_train_stage1.py main_train_stage2.py main_test.py main_test_real.py hubconf.py docs/hooks.py
YARDSTICK := results/yardstick

.PHONY: demo app eval bench test slow soak check format lint types docs smoke clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(RUN):
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)

$(READY): requirements.txt | $(RUN)
	$(RUN) utils/tools/install_torch.py $(TORCH)
	$(PIP) -r requirements.txt
	touch $@

$(TOOLS): requirements-dev.txt requirements-export.txt $(READY)
	$(PIP) -r requirements-dev.txt
	touch $@

$(APP): requirements-app.txt $(READY)
	$(PIP) -r requirements-app.txt
	touch $@

$(DOCS): requirements-docs.txt | $(RUN)
	$(PIP) -r requirements-docs.txt
	touch $@

demo: $(READY)  ## correct the two bundled captures with the bundled weights
	$(RUN) main_test_real.py --opt options/test_real.json

app: $(APP)  ## correct captures in a browser (docs/APP.md)
	$(RUN) -m utils.app

eval: $(READY) $(YARDSTICK)  ## score the default network on 24 simulated scenes, made once
	$(RUN) main_test.py --opt options/recipes/eval.json

$(YARDSTICK): | $(READY)
	$(RUN) -m data.create_rs_dataset $@ --count 24

bench: $(READY)  ## measure speed and memory into docs/BENCHMARKS.md
	$(RUN) -m utils.benchmarks

test: $(TOOLS)  ## run the tests but the slow ones
	$(RUN) -m pytest -n $(TEST_JOBS) --dist worksteal -m "not slow"

slow: $(TOOLS) $(APP)  ## run the slow tests: kills, double precision, viewer and page in a browser
	$(RUN) -m pytest -n $(TEST_JOBS) --dist worksteal -m slow

soak: $(READY)  ## kill runs, damage files, fill a disk and watch memory for 20 minutes (docs/RELIABILITY.md)
	$(RUN) -m utils.tools.soak --minutes 20

format: $(TOOLS)  ## reformat the code
	$(RUN) -m ruff format $(SOURCES)

lint: $(TOOLS)  ## check format and lint rules
	$(RUN) -m ruff format --check $(SOURCES)
	$(RUN) -m ruff check $(SOURCES)

types: $(TOOLS)  ## check types
	$(RUN) -m mypy

docs: $(DOCS)  ## build these pages as a site in results/site; a dead link is an error
	$(RUN) -m mkdocs build --strict
	@echo "results/site: to read it, $(RUN) -m http.server --bind 127.0.0.1 --directory results/site"

check: lint types docs test  ## format, lint, types, links, tests

smoke: $(READY)  ## train both stages on simulated scenes, under a minute
	$(RUN) main_train_stage1.py --opt options/smoke.json --resume never
	$(RUN) main_train_stage2.py --opt options/smoke_stage2.json --resume never

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
