PYTHON ?= python3
PROJECT_ID ?= 1
SCALE ?=
BENCH ?=
BIN = .venv/bin
# Demo and tests start hundreds of processes; without bytecode, each of them would compile the package again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo up down lint units quick test chaos soak bench constraints check-constraints env compose-test recording screenshots

# Make .venv with everything installed.
setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt dev/bootstrap.py
	@$(PYTHON) dev/bootstrap.py

# Export a project of the sample source through a real Airflow, then stop everything; if `make up` is running, use that.
demo: setup
	@$(BIN)/python -m dev.demo demo --project-id $(PROJECT_ID) $(if $(SCALE),--scale $(SCALE))

# Start PostgreSQL, the sample source and Airflow, and keep them running.
up: setup
	@$(BIN)/python -m dev.demo up $(if $(SCALE),--scale $(SCALE))

# Stop everything that `make up` has started.
down: setup
	@$(BIN)/python -m dev.demo down

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

# Run the tests that need neither a database nor much time.
units: setup
	$(BIN)/python -m pytest tests/unit -n 2 --no-loadscope-reorder -m "not slow and not heavy"

# Run all checks and these tests side by side: less than 30 s on two cores, once mypy has filled its cache.
quick: setup
	@$(MAKE) --no-print-directory --jobs 2 lint units

# Run all checks, then all tests that are not slow.
test: lint
	$(BIN)/python -m pytest -n 2 --no-loadscope-reorder -m "not slow"

# Inject every fault that an export must survive into a real Airflow, print the results, then run the slow tests.
chaos: setup
	$(BIN)/python -m pytest tests/chaos
	$(BIN)/python -m pytest -m slow --ignore tests/chaos

# Export 30 relations 20 times in a row through a real Airflow that runs 4 tasks at a time.
soak: setup
	$(BIN)/python -m pytest -s tests/soak.py

# Compare our export with its peers, in less than 10 minutes; BENCH="--full --check" passes options. Reports go to .state/bench.
bench: setup
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable ".[bench]"
	@$(BIN)/python -m bench $(BENCH)

# Resolve constraints.txt again, together with the providers that people usually install; versions are kept if possible.
# To update a package, delete its line first.
constraints: setup
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	@$(BIN)/python -m dev.constraints write

# Install the pins with these providers into a new environment and run `pip check`; takes some minutes.
check-constraints: setup
	@$(BIN)/python -m dev.constraints check

# Write .env, which docker compose needs, with generated secrets.
env:
	@$(PYTHON) dev/compose/env.py

# Start docker-compose.yaml, export through it, and kill its scheduler during the export; skipped without Docker.
compose-test: setup
	$(BIN)/python -m pytest -s tests/compose.py

# Draw docs/images/export.svg again: the terminal output of an export of the sample, its relations and its archive.
recording: setup
	@$(BIN)/python -m dev.recording

# Take the pictures of the page for README.md and docs/; needs chromium.
screenshots: setup
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable ".[browser]"
	@$(BIN)/python -m dev.screenshots
