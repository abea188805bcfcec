# Andon: the commands that people and CI share. They need git, make and Python >= 3.11, and nothing installed by hand.
.PHONY: help demo test slow check bench fuzz docs
PY := .venv/bin/python
unexport PYTHONDONTWRITEBYTECODE  # the tests start hundreds of processes: each would compile Andon anew

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1@/p' Makefile | tr '@' '\t' | expand -t 15

demo: .venv/.ready ## the three stories, ending in postmortems in andon-demo/
	.venv/bin/andon demo

test: .venv/.ready ## the tests, in parallel
	$(PY) -m pytest -n auto --dist worksteal

slow: .venv/.ready ## the slow part: calibration by long simulation, crash storms
	$(PY) -m pytest -n auto --dist worksteal -m slow

check: .venv/.ready ## lint, types, import contracts
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports

bench: .venv/.ready ## one JSON line per figure; `make bench only=AREA` runs one area
	@$(PY) -m bench $(only)

fuzz: .venv/.ready ## damaged requests for the OTLP decoder, for `seconds=60`
	@$(PY) -c 'import atheris' 2>/dev/null || $(PY) -m pip install --disable-pip-version-check -e '.[fuzz]'
	$(PY) scripts/fuzz.py $(or $(seconds),60)

docs: .venv/.ready ## write docs/reference/ from the code
	$(PY) scripts/make_docs.py

.venv/.ready: pyproject.toml scripts/setup.sh
	@PYTHON='$(PYTHON)' sh scripts/setup.sh
