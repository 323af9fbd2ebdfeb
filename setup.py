"""Installs the package with its configs and tools, the way OpenMMLab packages do (``fsar_llava/.mim``)."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION: dict = {}
exec((ROOT / 'fsar_llava' / 'version.py').read_text(encoding='utf-8'), VERSION)


class BuildWithConfigs(build_py):
    """Copies configs, tools and the model index into the built package."""

    def run(self) -> None:
        """Build, then copy; an editable install reads the folders where they are."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / 'fsar_llava' / '.mim'
        for folder in ('configs', 'tools'):
            shutil.copytree(
                ROOT / folder, target / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__')
            )
        shutil.copy(ROOT / 'model-index.yml', target / 'model-index.yml')


setup(
    name='fsar-llava',
    version=VERSION['__version__'],
    description='Few-shot action recognition with video multimodal language models, as a plug-in of MMAction2',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.10,<3.14',
    packages=find_packages(include=['fsar_llava', 'fsar_llava.*']),
    package_data={'fsar_llava': ['py.typed', 'datasets/splits/*.json']},
    cmdclass={'build_py': BuildWithConfigs},
    zip_safe=False,
    # mmcv or mmcv-lite is needed as well. It is no requirement here, because the two install into the same folder and
    # whoever has the full mmcv must keep it: `pip install '.[lite]'` brings mmcv-lite.
    install_requires=[
        'decord>=0.6.0',
        'einops',
        'importlib_metadata',
        'mmaction2==1.2.0',
        'mmengine>=0.10.7,<0.11',
        'numpy',
        'rich',
        'safetensors',
        'setuptools>=77.0.3,<82',
        'torch>=2.6',
        'transformers>=5.11,<6',  # earlier ones do not know all names of Video-LLaVA's weights
    ],
    extras_require={
        'lite': ['mmcv-lite>=2.1.0,<2.2.0'],
        'quantization': ['accelerate', 'bitsandbytes'],
        'tests': ['pytest>=8', 'pytest-xdist', 'ruff==0.17.5'],
        'dev': ['pre-commit'],
    },
)
