PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: demo test lint types setup clean

setup: $(STAMP)

# torch is pinned in the lock: a bare `torch` may pull gigabytes of CUDA packages.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# Without CIFAR-10 (COFRONT_DATA or ../shared/data) the design has random weights and runs random images, and says so.
demo: setup
	$(BIN)/cofront search --device zu3eg --fps 2000 --out runs/demo
	$(BIN)/cofront build runs/demo --smallest --out runs/demo/built
	@if command -v g++ > /dev/null; then set -x; $(BIN)/cofront verify runs/demo/built --images 20 --synth; \
	else echo "built, not verified: install the package g++ (and verilator, to be quicker), then make demo again"; fi

test: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

clean:
	rm -rf $(VENV) runs build .pytest_cache .mypy_cache .ruff_cache
