#!/usr/bin/env bash
# From nothing to a trained and tested model:  bash tools/quickstart.sh
# Sets up the environment, generates a small set of videos, trains FSAR-LLaVA on a miniature random Video-LLaVA and tests
# it on classes it has never seen. A second run reuses the environment and the videos. Settings: see environment.sh.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

CONFIG=configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py
WORK_DIR=work_dirs/quickstart

python tools/data/make_toy_videos.py --out "${FSAR_DATA_ROOT:-data}/toy_motion"
rm -rf "$WORK_DIR"
python tools/train.py "$CONFIG" --work-dir "$WORK_DIR" --seed 0
python tools/test.py "$CONFIG" "$WORK_DIR"/best_*.pth --work-dir "$WORK_DIR"
echo "The result with its episode hash and per-class accuracy: $WORK_DIR/few_shot_result.json"
