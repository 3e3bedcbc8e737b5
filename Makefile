# Each target sets up what it needs, in .venv, and skips what is up to date.
# Another Python: make test PYTHON=python3.13 VENV=.venv3.13
PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
REPORT = out/unified-margin-wick.html
KERNELS = $(wildcard cython_ext/*.pyx cython_ext/*.pxd)
.PHONY: demo test docs bench measure dev machine

demo: $(VENV)/installed
	@mkdir -p $(dir $(REPORT))
	$(BIN)/flashwick run unified-margin-wick --report $(REPORT) --variations
	@echo "The report is $(abspath $(REPORT)); open it in a browser."

test: $(VENV)/installed $(VENV)/extra-test
	$(BIN)/pytest -n auto

docs: $(VENV)/installed $(VENV)/extra-docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs
	@echo "The site is $(abspath build/docs/index.html)"

# The peers that are measured beside ours hold NumPy back: an environment of their own.
bench:
	@$(MAKE) --no-print-directory VENV=$(VENV)-bench measure

measure: $(VENV)/installed $(VENV)/extra-bench
	@mkdir -p build
	$(BIN)/pytest bench --benchmark-json=build/bench.json
	$(BIN)/python bench/table.py build/bench.json docs/performance.md

# Tests, benchmarks and linters; and build/typed, the package as installed, made of
# links, for mypy, pyright and editors, which cannot follow package_dir.
dev: $(VENV)/installed $(VENV)/extra-dev
	@rm -rf build/typed && mkdir -p build/typed/flashwick
	@cd build/typed/flashwick && ln -s ../../../flashwick/* \
		$(addprefix ../../../,engine margin orderbook cython_ext) .

# An editable install: changed Python is seen at once, a changed kernel is rebuilt.
$(VENV)/installed: pyproject.toml setup.py $(KERNELS)
	@$(MAKE) --no-print-directory machine
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

# The package is installed already, so that this only adds what the extra names.
$(VENV)/extra-%: pyproject.toml | $(VENV)/installed
	$(BIN)/pip install --quiet 'flashwick[$*]'
	@touch $@

# Say what is missing, before pip says it in two hundred lines.
CC_OF_PYTHON = import sysconfig as s; print(s.get_config_var("CC"))
HEADER = import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")
machine:
	@need() { echo "flashwick needs $$*" >&2; exit 1; }; \
	works() { "$$@" >/dev/null 2>&1; }; \
	works $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || need \
		"Python 3.11 or newer; '$(PYTHON)' is none. Name one: make PYTHON=/its/path"; \
	works $(PYTHON) -c 'import ensurepip, venv' || need \
		"the venv module of '$(PYTHON)' (Debian, Ubuntu: apt install python3-venv)."; \
	cc=$${CC:-$$($(PYTHON) -c '$(CC_OF_PYTHON)')}; works $$cc --version || need \
		"a C compiler; '$$cc' is none (Debian, Ubuntu: apt install gcc; macOS:" \
		"xcode-select --install)."; \
	works $(PYTHON) -c '$(HEADER)' || need \
		"the headers of '$(PYTHON)' (Debian, Ubuntu: apt install python3-dev)."
