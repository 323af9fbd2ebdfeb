#!/usr/bin/env bash
# Train on a Slurm cluster:  [GPUS=8 GPUS_PER_NODE=8 ...] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
set -euo pipefail
if [ $# -lt 3 ]; then echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]" >&2; exit 2; fi

TOOLS=$(cd "$(dirname "$0")" && pwd)
export MASTER_PORT=${MASTER_PORT:-$((12000 + RANDOM % 20000))}

# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..:${PYTHONPATH:-}" srun --partition="$1" --job-name="$2" \
    --gres="gpu:${GPUS_PER_NODE:-8}" --ntasks="${GPUS:-8}" --ntasks-per-node="${GPUS_PER_NODE:-8}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$TOOLS/train.py" "$3" --launcher slurm "${@:4}"
