#!/usr/bin/env bash
# Makes the virtual environment of this repository, or reuses it; sourced by quickstart.sh and run_tests.sh.
#   FSAR_VENV    where it lies                        (default .venv)
#   FSAR_PYTHON  the Python it is made with           (default: the first of python3.13 to python3.10, python3 that fits)
#   FSAR_TORCH   what pip installs for torch          (default torch>=2.6; a CPU-only build saves gigabytes, see README)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${FSAR_VENV:-$ROOT/.venv}
TORCH=${FSAR_TORCH:-torch>=2.6}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

find_python() {
    local candidate
    for candidate in ${FSAR_PYTHON:-python3.13 python3.12 python3.11 python3.10 python3}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.10 to 3.13 found. Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it in FSAR_PYTHON." >&2
    return 1
}

make_environment() {
    local python stamp wanted
    stamp=$VENV/fsar_llava_installed
    wanted="$TORCH $(cksum < "$ROOT/setup.py")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        echo "Environment $VENV is up to date."
    else
        python=$(find_python)
        echo "Installing into $VENV with $python (torch: $TORCH); this takes a minute or more ..."
        if ! "$python" -m venv "$VENV"; then
            echo "Python's venv module is missing. Debian, Ubuntu: apt-get install python3-venv" >&2
            return 1
        fi
        # $TORCH may hold options of pip, so it is split into words on purpose.
        # shellcheck disable=SC2086
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check $TORCH
        if "$VENV/bin/python" -m pip show --quiet mmcv 2>/dev/null; then
            "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e "$ROOT[tests]"
        else
            "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -e "$ROOT[lite,tests]"
        fi
        "$VENV/bin/python" "$ROOT/tools/check_environment.py"
        echo "$wanted" > "$stamp"
    fi
    export PATH="$VENV/bin:$PATH"
}

cd "$ROOT"
make_environment
