# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make their own virtual environment.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt
OTHERS := 3.12 3.13

.PHONY: demo test check format docs screenshots long bench debian others clean

demo: $(VENV)/.demo
	$(BIN)/headgate demo $(ARGS)

# A worker more than processors, as end-to-end tests wait a good part of their time; and those first, as the long files
# at the end would leave the other workers idle.
WORKERS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
XDIST := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev debian $(VENV)/.receivers
	$(BIN)/python -m pytest -q -m "not long" $(XDIST) $(ARGS)

# Soak, scale and crash runs; about an hour.
long: $(VENV)/.dev debian $(VENV)/.receivers
	$(BIN)/python -m pytest -q -m long $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/docs

format: $(VENV)/.dev
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

# Rewrites generated option tables, metric lists and command help in docs/.
docs: $(VENV)/.dev
	UPDATE_DOCS=1 $(BIN)/python -m pytest -q tests/docs

# Takes the pictures of README and docs from the demo.
screenshots: $(VENV)/.dev debian
	$(BIN)/python -m tests.e2e.screenshots

# The unit and contract suites on each other interpreter that is here.
others:
	@for version in $(OTHERS); do \
	  python=$$(command -v python$$version || ls -d $$HOME/.pyenv/versions/$$version*/bin/python$$version 2>/dev/null | head -n 1); \
	  if [ -z "$$python" ] || ! "$$python" -c '' 2>/dev/null; then \
	    python=$$(ls -d $$HOME/.pyenv/versions/$$version*/bin/python$$version 2>/dev/null | head -n 1); fi; \
	  if [ -z "$$python" ]; then echo "python$$version is not here: nothing is claimed about it"; continue; fi; \
	  test -d .venv-$$version || "$$python" -m venv .venv-$$version || exit 1; \
	  .venv-$$version/bin/pip install $(PIP_FLAGS) -e '.[test]' || exit 1; \
	  echo "python$$version: unit and contract suites"; \
	  .venv-$$version/bin/python -m pytest -q -m "not long" $(XDIST) tests/unit tests/contract || exit 1; \
	done

# What the end-to-end tests use from Debian: a browser, systemd's checker, openssl. Installed where we may.
debian:
	@missing=""; for tool in chromium systemd-analyze openssl strace; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium systemd openssl strace >/dev/null; \
	  else echo "please install from Debian:$$missing"; exit 1; fi; fi

# Real receivers for the tests, from Debian's packages, unpacked beside the environment: nothing is installed or started.
UNPACKED := prometheus prometheus-alertmanager victoria-metrics
$(VENV)/.receivers: $(VENV)/.venv
	@if ! ls $(addprefix $(VENV)/debian/usr/bin/,$(UNPACKED)) >/dev/null 2>&1; then \
	  command -v apt-get >/dev/null || { echo "the tests need Debian's packages $(UNPACKED)"; exit 1; }; \
	  if [ "$$(id -u)" = 0 ]; then apt-get -qq update; fi; \
	  mkdir -p $(VENV)/debian/archives && cd $(VENV)/debian/archives && apt-get -qq download $(UNPACKED) 2>/dev/null && \
	  for package in *.deb; do dpkg -x $$package .. || exit 1; done; fi
	@touch $@

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "Headgate needs Python 3.11 or newer (set PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/pip install $(PIP_FLAGS) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/pip install $(PIP_FLAGS) -e '.[dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) $(OTHERS:%=.venv-%) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
