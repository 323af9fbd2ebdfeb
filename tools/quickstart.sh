#!/usr/bin/env bash
# From nothing to a trained and tested model:  bash tools/quickstart.sh
# Sets up the environment, generates the videos of SyntheticMotion, runs the miniature Video-LLaVA of this repository once
# on each of them, trains FSAR-LLaVA on its tokens and tests it on 10,000 episodes of classes that neither has seen,
# beside metrics that need no training. A second run reuses environment, videos and tokens. Settings: see environment.sh.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

DATA=${FSAR_DATA_ROOT:-data}/synthetic_motion
CONFIGS=configs/fsar_llava
SETTING=5way-1shot_synthetic-motion
WORK_DIR=work_dirs/quickstart

python tools/data/make_synthetic_motion.py --out "$DATA"
python tools/extract_tokens.py "$CONFIGS/fsar-llava_mini_unknown_$SETTING.py" --out "$DATA/tokens"
rm -rf "$WORK_DIR"
python tools/train.py "$CONFIGS/fsar-llava_mini-tokens_unknown_$SETTING.py" --work-dir "$WORK_DIR" --seed 0
python tools/test.py "$CONFIGS/training-free_mini_$SETTING.py" none --work-dir "$WORK_DIR/training-free"
python tools/test.py "$CONFIGS/fsar-llava_mini-tokens_unknown_$SETTING.py" "$WORK_DIR"/best_*.pth --work-dir "$WORK_DIR"
echo "Accuracy per class, hashes and versions: $WORK_DIR/few_shot_result.json"
