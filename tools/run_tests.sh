#!/usr/bin/env bash
# Sets up the environment and runs the tests:  bash tools/run_tests.sh [options of pytest]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
python -m pytest "$@"
