# The front door. The build itself is Meson (meson.build); suites are declared in tools/run-tests.py.
.DEFAULT_GOAL := help
.PHONY: help setup build docs run test test-long lint bench demo fuzz clean

DATA ?= ./data

help:           ## this list
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:          ## installs missing Debian packages (asks first)
	@tools/setup.sh

build: setup    ## builds build/kitten
	@test -f build/build.ninja || meson setup build >/dev/null
	@ninja -C build --quiet kitten

run: build      ## builds, then serves ./data (DATA=dir for another directory)
	@exec build/kitten mini $(DATA)

test: setup     ## builds and runs every suite but the long ones
	@exec tools/run-tests.py

test-long: setup ## every suite, the long ones too
	@exec tools/run-tests.py --long

docs:           ## makes etc/kitten.conf, docs/config.md, docs/kitten.1, packaging/kitten.bash from the tables
	@test -f build-test/build.ninja || meson setup build-test -Dfaults=true >/dev/null
	@ninja -C build-test --quiet kitten tests/unit/conf/confgen
	@build-test/tests/unit/conf/confgen file >etc/kitten.conf
	@build-test/tests/unit/conf/confgen docs >docs/config.md
	@tools/gen_docs.sh build-test

lint: setup     ## formatting, house rules, clang-tidy
	@exec tools/run-tests.py --only lint

bench: build    ## measures; see docs/benchmarks.md (ROW=name for one row)
	@tools/setup.sh bench
	@test -f build-test/build.ninja || meson setup build-test -Dfaults=true >/dev/null
	@ninja -C build-test --quiet kitten
	@exec tests/perf/bench.py $(if $(ROW),--row $(ROW))

demo: build     ## stores, verifies and deletes real files, with a kill -9 in the middle
	@exec tests/system/demo.py

fuzz: setup     ## fuzzes each decoder for a minute (FUZZ_SECONDS=n, FUZZ=name)
	@exec tests/fuzz/run.sh

clean:          ## removes the build directories
	rm -rf build build-test build-clang build-asan build-tsan build-fuzz
