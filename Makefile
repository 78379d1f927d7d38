# Each target is one plain line that can also be typed by hand; the virtual environment is made when it is missing.
# Where plain torch would be a CUDA build: make demo PIP="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
PIP ?=
PYTEST ?=
INSTALL = .venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP)

.PHONY: demo test lint bless figures size clean

demo: .venv/data.installed  ## install archc, train a KAN written in .arch on the digits, print its test accuracy
	.venv/bin/archc train examples/kan_digits/kan_digits.arch --layer KANDigits --data digits --epochs 40 --lr 0.01 --weight-decay 0.1

test: .venv/peers.installed  ## run the tests; PYTEST=--slow adds those that take longer than ten seconds each
	.venv/bin/python -m pytest -q -n 2 $(PYTEST)

lint: .venv/dev.installed  ## style and types
	.venv/bin/ruff check compiler tests benchmarks
	.venv/bin/mypy

bless: .venv/peers.installed  ## rewrite the expected texts of the tests; read the diff before you commit it
	.venv/bin/python -m pytest -q --bless $(PYTEST)

figures: .venv/bench.installed  ## measure the suite on a quiet machine, and put the figures into the documents
	.venv/bin/archc bench --suite --quick --seconds 1 --out benchmarks/results/suite.json
	.venv/bin/python benchmarks/pages.py

size:  ## lines by folder against the budgets
	$(PYTHON) benchmarks/size.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/peers.installed: .venv/dev.installed tests/peers/requirements.txt
	$(INSTALL) --no-deps -r tests/peers/requirements.txt
	touch $@

.venv/%.installed: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[$*]'
	touch $@
