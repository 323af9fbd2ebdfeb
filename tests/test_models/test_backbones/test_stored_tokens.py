from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsar_llava.models.backbones import StoredTokens
from fsar_llava.models.backbones.stored_tokens import prompt_id


def test_another_store_is_told_apart_from_another_prompt(tmp_path: Path) -> None:
    manifest = dict(identity=dict(backbone={}, prompts=['a']), store_id='mine')
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    backbone = StoredTokens(str(tmp_path))
    assert backbone._span('a', [(prompt_id('mine', 'a'), 0, 3)]) == (0, 3)
    with pytest.raises(KeyError, match=r'LoadVideoTokens reads another store than .*Name the same store in both'):
        backbone._span('a', [(prompt_id('other', 'a'), 0, 3)])
    with pytest.raises(KeyError, match='was not extracted with the prompt'):
        backbone._span('b', [(prompt_id('mine', 'a'), 0, 3)])
