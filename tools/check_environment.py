#!/usr/bin/env python
"""Check that everything the package needs is there in a fitting version; say in words what is wrong and what helps."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

SYSTEM_LIBRARIES = {
    'libGL.so.1': 'apt-get install libgl1',
    'libgthread-2.0.so.0': 'apt-get install libglib2.0-0',
    'libglib-2.0.so.0': 'apt-get install libglib2.0-0',
    'libgomp.so.1': 'apt-get install libgomp1',
}
PACKAGES = {
    'torch': "pip install 'torch>=2.6'",
    'mmcv': "pip install 'mmcv-lite>=2.1.0,<2.2.0'",
    'mmengine': "pip install 'mmengine>=0.10.7,<0.11'",
    'mmaction': "pip install 'mmaction2==1.2.0'",
    'transformers': "pip install 'transformers>=5.11,<6'",
    'cv2': 'pip install opencv-python',
    'decord': "pip install 'decord>=0.6.0'",
    'einops': 'pip install einops',
    'importlib_metadata': 'pip install importlib_metadata',
    'numpy': 'pip install numpy',
    'rich': 'pip install rich',
    'safetensors': 'pip install safetensors',
    'setuptools': "pip install 'setuptools>=77.0.3,<82'",
    'fsar_llava': 'pip install -e .[lite]',
}


def problem(package: str, remedy: str) -> str | None:
    """What is wrong with a package, with the command that mends it; None if it can be imported."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        for library, command in SYSTEM_LIBRARIES.items():
            if library in str(error):
                return f'{package} needs the system library {library}. Debian, Ubuntu: {command}'
        return f'{package} cannot be imported ({error}). Run: {remedy}'
    return unfit_version(remedy)


def unfit_version(remedy: str) -> str | None:
    """What is wrong with the version of what a command installs; None if it fits, or came in another package."""
    wanted = remedy.removeprefix('pip install ').strip("'")
    if wanted.startswith('-e'):
        return None
    try:
        from packaging.requirements import Requirement
    except ImportError:  # then transformers, which brings it, is missing as well
        return None
    requirement = Requirement(wanted)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:  # such as opencv-python-headless for opencv-python
        return None
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f'{requirement.name} is {version}, but {requirement.specifier} is needed. Run: {remedy}'


def main() -> int:
    if not (3, 10) <= sys.version_info < (3, 14):
        print(f'Python 3.10 to 3.13 is needed, but this is {sys.version.split()[0]}.', file=sys.stderr)
        return 1
    problems = [found for package, remedy in PACKAGES.items() if (found := problem(package, remedy))]
    for found in problems:
        print(f'Problem: {found}', file=sys.stderr)
    if not problems:
        import torch

        where = 'a GPU' if torch.cuda.is_available() else 'no GPU'
        print(f'Environment complete: Python {sys.version.split()[0]}, torch {torch.__version__}, {where}.')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
