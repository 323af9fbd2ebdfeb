"""What takes a batch to the device of the model, where MMAction2's own does something else."""

from .token_data_preprocessor import TokenDataPreprocessor

__all__ = ['TokenDataPreprocessor']
