#!/usr/bin/env bash
# Sets up the environment, checks the style of the sources and runs the tests:  bash tools/run_tests.sh [options of pytest]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
SOURCES=(setup.py fsar_llava projects configs tools tests)
ruff check --quiet "${SOURCES[@]}"
ruff format --quiet --check "${SOURCES[@]}"
# Two processes by default: the tests are many and small, and some start processes of their own.
python -m pytest -n "${FSAR_TEST_WORKERS:-2}" "$@"
