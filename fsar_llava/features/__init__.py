"""Features of videos that are computed once: on disk (token store) and in memory (feature bank)."""

from .fingerprint import Fingerprint
from .token_manifest import TokenManifest, TokenStoreMismatchError
from .token_shard import TokenShardError
from .token_store import StoredVideo, TokenStore
from .token_writer import TokenWriter

__all__ = [
    'Fingerprint',
    'StoredVideo',
    'TokenManifest',
    'TokenShardError',
    'TokenStore',
    'TokenStoreMismatchError',
    'TokenWriter',
]
