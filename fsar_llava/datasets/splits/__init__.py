"""Which classes of the benchmarks are for meta-training, meta-validation and meta-testing."""

from .class_split import SPLITS, ClassSplit, fold_name, load_split, split_names

__all__ = ['SPLITS', 'ClassSplit', 'fold_name', 'load_split', 'split_names']
