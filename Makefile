# Everything runs in .venv, built once and reused until a file of requirements changes.
PYTHON ?= python3
VENV ?= .venv
TEST_JOBS ?= 2
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
SOURCES := models data utils tests main_train_stage1.py main_train_stage2.py main_test.py main_test_real.py hubconf.py
YARDSTICK := results/yardstick

.PHONY: demo eval bench test slow soak check format lint types smoke clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(READY): requirements.txt requirements-dev.txt requirements-export.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 10), "Python 3.10 or newer is needed, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	touch $@

demo: $(READY)  ## correct the two bundled captures with the bundled weights
	$(RUN) main_test_real.py --opt options/test_real.json

eval: $(READY) $(YARDSTICK)  ## score the default network on 24 simulated scenes, made once
	$(RUN) main_test.py --opt options/recipes/eval.json

$(YARDSTICK): | $(READY)
	$(RUN) -m data.create_rs_dataset $@ --count 24

bench: $(READY)  ## measure speed and memory into docs/BENCHMARKS.md
	$(RUN) -m utils.benchmarks

test: $(READY)  ## run the tests but the slow ones
	$(RUN) -m pytest -n $(TEST_JOBS) --dist worksteal -m "not slow"

slow: $(READY)  ## run the slow tests: kills, double precision, the viewer in a browser
	$(RUN) -m pytest -n $(TEST_JOBS) --dist worksteal -m slow

soak: $(READY)  ## kill runs, damage files, fill a disk and watch memory for 20 minutes (docs/RELIABILITY.md)
	$(RUN) -m utils.tools.soak --minutes 20

format: $(READY)  ## reformat the code
	$(RUN) -m ruff format $(SOURCES)

lint: $(READY)  ## check format and lint rules
	$(RUN) -m ruff format --check $(SOURCES)
	$(RUN) -m ruff check $(SOURCES)

types: $(READY)  ## check types
	$(RUN) -m mypy

check: lint types test  ## format, lint, types, tests

smoke: $(READY)  ## train both stages on simulated scenes, under a minute
	$(RUN) main_train_stage1.py --opt options/smoke.json --resume never
	$(RUN) main_train_stage2.py --opt options/smoke_stage2.json --resume never

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
