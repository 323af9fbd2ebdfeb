"""What the parts of the benchmark share."""

from __future__ import annotations

import importlib.util
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import torch
from mmengine.config import Config
from mmengine.runner import Runner

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / 'configs/fsar_llava'
CONFIG = CONFIGS / 'fsar-llava_tiny_unknown_5way-1shot_toy-motion.py'
FIXED_PROMPT = "What's the action of the video?"
# As long in tokens of a byte tokenizer as real ones in Llama's, 60 with their wrapper, and alike up to the first name.
KNOWN_PROMPTS = [f'Which of these? {number:02d}{"abcdefghij" * 3}' for number in range(21)]
Row = tuple[str, float, str]
"""What was measured, the value, and what is wanted."""


def load_tool(path: str) -> ModuleType:
    """Import a script of the repository, such as ``tools/extract_tokens.py``."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def seconds(task: Callable[[], object], repeat: int = 3) -> float:
    """The shortest of some runs, after one that does not count."""
    times = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        task()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def peak_memory(task: Callable[[], object]) -> float:
    """MB that a task takes at most, beyond what the process has when it begins; on Linux."""

    def peak() -> int:
        status = Path('/proc/self/status').read_text()
        return int(status.split('VmHWM:')[1].split()[0])  # kB

    Path('/proc/self/clear_refs').write_text('5')  # the peak is now what the process has
    before = peak()
    task()
    return (peak() - before) / 1024


def attempt(measure: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """What is measured before an error, which is printed: one failure must not cost all figures of a long run."""
    try:
        yield from measure()
    except Exception:
        traceback.print_exc()


def tiny_runner(data: Path, work_dir: str, change: Callable[[Config], None], config: Path = CONFIG) -> Runner:
    """A quiet runner, by default of FSAR-LLaVA on the miniature MLLM."""
    os.environ['FSAR_DATA_ROOT'] = str(data.parent)
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.log_level, cfg.randomness = work_dir, 'WARNING', dict(seed=0)
    cfg.experiment_name = f'benchmark_{time.time_ns()}'
    cfg.custom_hooks = []
    cfg._format_python_code = False  # mmengine prints the config prettily at the start, for many seconds
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.persistent_workers = False  # they end with the run and do not disturb the next one
    change(cfg)
    return Runner.from_cfg(cfg)
