"""Write the SyntheticMotion benchmark: real videos of moving shapes in classes that mostly differ in temporal order.

    python tools/data/make_synthetic_motion.py --out data/synthetic_motion

The folder then holds ``videos/<class name>/<nnn>.mp4``, the lists ``train.txt``, ``val.txt`` and ``test.txt`` (file
below ``videos/``, TAB, label), ``classes.txt`` (one name a line, by label), ``manifest.json`` (the arguments) and
``contact_sheet.png`` (one clip of every class). A second run reuses the files of the first.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from fsar_llava.datasets.synthetic_motion.writer import write_benchmark


def main(argv: Sequence[str] | None = None) -> None:
    summary, _, details = __doc__.partition('\n')
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', required=True, help='folder of the benchmark')
    parser.add_argument('--videos-per-class', type=int, default=60, help='default: %(default)s')
    parser.add_argument('--frames', type=int, default=24, help='frames of each video; default: %(default)s')
    parser.add_argument('--side', type=int, default=64, help='height and width in pixels; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes; default: one a core')
    write_benchmark(**vars(parser.parse_args(argv)))


if __name__ == '__main__':
    main()
