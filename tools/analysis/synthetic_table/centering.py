"""Find the mean tokens of the meta-training videos, and write them as a checkpoint that ``tools/test.py`` takes.

    python tools/analysis/synthetic_table/centering.py CONFIG --out means.pth

The config has a ``Centering`` neck and reads stored tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fsar_llava.engine.hooks.backbone_identity_hook import META_KEY, model_identity
from fsar_llava.features import TokenStore
from fsar_llava.structures import VideoFeatures


def stored_features(store: TokenStore, videos: list[str]) -> Iterator[VideoFeatures]:
    """Tokens of each video with the one prompt of the store."""
    for video in videos:
        tokens = store.read(video)
        (textual,) = tokens.textual.values()
        mask = torch.ones(1, len(textual), dtype=torch.bool)
        yield VideoFeatures(tokens.visual[None].float(), textual[None].float(), mask)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model that is centred')
    parser.add_argument('--out', type=Path, required=True, help='checkpoint to write')
    args = parser.parse_args(argv)
    cfg = Config.fromfile(args.config)
    init_default_scope('mmaction')
    dataset = cfg.train_dataloader.dataset.dataset
    lines = Path(dataset.ann_file).read_text(encoding='utf-8').splitlines()
    videos = [line.rsplit(dataset.delimiter, 1)[0] for line in lines if line.strip()]
    model = MODELS.build(cfg.model)
    model.neck.fit(stored_features(TokenStore(cfg.model.backbone.store), videos))
    state = {f'neck.{name}': tensor for name, tensor in model.neck.state_dict().items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(state_dict=state, meta={META_KEY: model_identity(model)}), args.out)


if __name__ == '__main__':
    main()
