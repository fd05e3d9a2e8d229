PYTHON ?= python3
PROJECT_ID ?= 1
SCALE ?=
ISSUES ?= 100000
LARGEST ?= $(ISSUES)
ROUNDS ?= 3
BIN = .venv/bin
# Demo and tests start hundreds of processes; without bytecode each of them would compile the package anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo up down lint test chaos soak bench constraints check-constraints env compose-test recording

# Make .venv with everything installed.
setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt dev/bootstrap.py
	@$(PYTHON) dev/bootstrap.py

# Export a project of the sample source through a real Airflow, then stop everything; what `make up` runs is used as it is.
demo: setup
	@$(BIN)/python -m dev.demo demo --project-id $(PROJECT_ID) $(if $(SCALE),--scale $(SCALE))

# Start PostgreSQL, the sample source and Airflow, and leave them running.
up: setup
	@$(BIN)/python -m dev.demo up $(if $(SCALE),--scale $(SCALE))

# Stop what `make up` has started.
down: setup
	@$(BIN)/python -m dev.demo down

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

# All checks, then all tests that are not slow.
test: lint
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder -m "not slow"

# Inject every fault that an export has to survive into what really runs, and print what happened; then run the slow tests.
chaos: setup
	$(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m pytest -m slow --ignore tests/chaos

# Export 30 relations 20 times in a row through a real Airflow that runs 4 tasks at a time.
soak: setup
	$(BIN)/python -m pytest -s tests/soak.py

# Compare with peers on a project of ISSUES issues, and ours on one of LARGEST too; the report comes to .state/bench.
bench: setup
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python -m bench --issues $(ISSUES) --largest $(LARGEST) --rounds $(ROUNDS)

# Resolve constraints.txt anew, together with providers that people install beside; versions stay where they can.
# To bring one up to date, delete its line first.
constraints: setup
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	@$(BIN)/python -m dev.constraints write

# Install the pins and these providers into a new environment and let pip check it; some minutes.
check-constraints: setup
	@$(BIN)/python -m dev.constraints check

# Write .env, which docker compose needs, with secrets of its own.
env:
	@$(PYTHON) dev/compose/env.py

# Start docker-compose.yaml for real, export through it, and kill its scheduler in the middle; skips without Docker.
compose-test: setup
	$(BIN)/python -m pytest -s tests/compose.py

# Draw docs/images/export.svg anew: an export of the sample, its relations and its archive, as a terminal shows them.
recording: setup
	@$(BIN)/python -m dev.recording
