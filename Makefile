# Two commands do everything on a machine with Python 3.11, git and make: `make demo`, `make test`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
# The interpreter whose benchmarl `make learned` compares with: pip install '.[bench]' into it.
BENCHMARL ?= $(BIN)/python
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Small kernels run slower on more than one thread, and far slower on a busy machine.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
# A file's tests stay together, since they share what takes long to start. One process more than
# cores, since tests wait for processes of their own; more than eight would wait for memory. What
# takes longest comes first, so that no core is idle at the end.
ALL_CORES = -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --maxprocesses 8 --dist loadfile \
	--no-loadscope-reorder
LONGEST_FIRST = tests/marl/learning/test_cluster.py tests/test_docs.py analysis/notebooks tests/scenarios tests

.PHONY: help install demo test test-slow lint bench learned inventory lot-sizing navigation memory sweep limits pictures clean
help:
	@echo "make demo       install what solves games, then solve Leduc poker: progress, a table, a picture"
	@echo "make test       install everything, then run the test suite on all cores"
	@echo "make test-slow  the tests that take minutes"
	@echo "make lint       ruff, mypy, import rules, circles and lengths"
	@echo "make sweep      export OpenSpiel's games to Gambit; writes docs/reports/export.md"
	@echo "make limits     how large a game each equilibrium takes; writes docs/reports/limits.md"
	@echo "make bench      compare with OpenSpiel, RLlib, OSQP; writes docs/reports/benchmarks.md, replay.md"
	@echo "make learned    run the training scenarios, and BenchMARL's methods beside ours; writes"
	@echo "                docs/reports/learned.md, cooperation.md and standard.md"
	@echo "make inventory  learn to order, against optima and bounds; writes docs/reports/inventory.md"
	@echo "make lot-sizing post-decision PPO beside PPO; writes docs/reports/lot-sizing.md"
	@echo "make navigation tune barriers while moving, against fixed ones; writes docs/reports/navigation.md"
	@echo "make pictures   draw the pictures of the documentation; writes docs/images"
	@echo "make memory     half an hour of training, watched; writes docs/reports/memory.md"

# Installed again only when what is to be installed has changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt --editable '.[dev]'
	@touch $(VENV)/.solves $@
install: $(VENV)/.installed

# What solves games and no more: neither torch nor a build of Gambit.
$(VENV)/.solves: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt --editable .
	@touch $@

demo: $(VENV)/.solves
	$(BIN)/schelling run leduc

test: install
	$(BIN)/python -m pytest -m 'not slow' $(ALL_CORES) --nbmake $(LONGEST_FIRST)

test-slow: install
	$(BIN)/python -m pytest -m slow tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house

bench: install
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.replay

learned: install
	$(BIN)/python -m benchmarks.learned
	$(BIN)/python -m benchmarks.cooperation
	$(BIN)/python -m benchmarks.standard --benchmarl $(BENCHMARL)

inventory: install
	$(BIN)/python -m benchmarks.inventory

lot-sizing: install
	$(BIN)/python -m benchmarks.inventory.lot_sizing

navigation: install
	$(BIN)/python -m benchmarks.navigation

memory: install
	$(BIN)/python -m benchmarks.memory

sweep: install
	$(BIN)/python -m benchmarks.export_sweep

limits: install
	$(BIN)/python -m benchmarks.limits

pictures: install
	rm -rf build/compare
	$(BIN)/schelling run compare --out build/compare
	cp build/compare/convergence.png docs/images/compare.png

clean:
	rm -rf $(VENV) build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
