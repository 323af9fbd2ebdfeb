from __future__ import annotations

import argparse
import hashlib
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from fsar_llava.datasets.synthetic_motion import CLASSES, HELD_OUT, PROGRAMS, Scenes, sentence
from fsar_llava.datasets.synthetic_motion.programs import PRIMITIVES
from fsar_llava.models.backbones import CLIPBackbone, CLIPTextEncoder, MAFSARBackbone
from projects.mini_clip.captions import CLASS_SENTENCES, all_texts, caption
from projects.mini_clip.evaluate import Miniature, retrieval
from projects.mini_clip.model import END, MAX_WORDS, START, build_tokenizer
from projects.mini_clip.stream import CaptionStream
from projects.mini_clip.train import Trainer, contrast, parse_args
from projects.mini_video_llava.export import write

WEIGHTS = Path(__file__).parents[2] / 'projects' / 'mini_clip' / 'weights'


@pytest.fixture(scope='module')
def tokenizer():
    return build_tokenizer(all_texts())


@pytest.fixture
def arguments(monkeypatch, tmp_path) -> argparse.Namespace:
    """The documented command, on a few small batches."""
    monkeypatch.setattr('sys.argv', ['train', '--device', 'cpu', '--work-dir', str(tmp_path / 'work')])
    args = parse_args()
    args.clips, args.save_every = 2, 2
    return args


def scenes(position=(((0.2, 0.2), (0.8, 0.5)),), size=((0.2, 0.35),), opacity=((0.95, 0.4),)) -> Scenes:
    """One frame of one clip: a small bright red circle at the top left, a big faint blue star in the middle right."""
    at = np.array(position, np.float32)[None]
    looks = dict(size=np.array(size)[None], opacity=np.array(opacity)[None])
    named = dict(color=np.array([[0, 5]]), shape=np.array([[0, 6]]))
    rest = dict(shake=np.zeros((1, 1, 2)), progress=np.zeros((1, 1, 3)), seed=np.zeros(1, int))
    return Scenes(position=at, **looks, **named, **rest)


# -- nothing that is held out is ever shown or read -------------------------------------------------------------------
def test_the_whole_stream_of_the_documented_command_shows_no_held_out_program(monkeypatch, tokenizer):
    monkeypatch.setattr('sys.argv', ['train'])
    args = parse_args()
    stream = CaptionStream(args.steps, clips=args.clips, seed=args.seed, tokenizer=tokenizer)
    shown = {program for step in range(args.steps) for program in stream.programs(step, stream.rng(step))}
    assert not any(pair in HELD_OUT for program in shown for pair in pairwise(program))
    assert shown >= set(PROGRAMS['train'])


def test_captions_say_nothing_of_motion(tokenizer):
    moving = {*PRIMITIVES, 'moves', 'then'} - {'right', 'left', 'up', 'down'}  # these four are places, too
    stream, read = CaptionStream(4, clips=24, seed=0, tokenizer=tokenizer), set()
    for step in range(4):
        read.update(tokenizer.batch_decode(stream[step]['words'], skip_special_tokens=True))
    assert len(read) > 300
    assert not any(moving & set(text.split()) for text in read)


def test_no_held_out_name_is_read():
    assert set(CLASS_SENTENCES).isdisjoint(sentence(program) for program in HELD_OUT)
    assert len(CLASS_SENTENCES) == 38


# -- captions and batches ---------------------------------------------------------------------------------------------
def test_a_caption_tells_what_is_there():
    told = {caption(scenes(), 0, 0, np.random.default_rng(seed), drop=0.0) for seed in range(20)}
    red, blue = 'small bright red circle at the top, far left', 'big faint blue star halfway, far right'
    expected = {f'a {a}{link}a {b}' for a, b in ((red, blue), (blue, red)) for link in (' and ', ' far from ')}
    assert told == expected


@pytest.mark.parametrize(
    ('x', 'y', 'place'),
    [(0.13, 0.86, 'at the bottom, far left'), (0.5, 0.35, 'up, in the middle'), (0.6, 0.6, 'down, right')],
)
def test_places(x, y, place):
    near = scenes(position=(((x, y), (x + 0.1, y)),))
    told = caption(near, 0, 0, np.random.default_rng(0), drop=1.0)
    assert told.startswith('a photo of a shape ')
    assert ' another shape ' in told
    assert place in told


def test_a_step_is_a_function_of_seed_and_step(tokenizer):
    first, again, other = (CaptionStream(9, clips=2, seed=seed, tokenizer=tokenizer)[7] for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first['frames'], other['frames'])
    assert len(first['words']) == 2 * first['frames'].shape[1]


def test_contrastive_loss_against_a_loop():
    torch.manual_seed(0)
    logits, words = torch.randn(4, 4, dtype=torch.float64), torch.tensor([[1, 2], [3, 4], [1, 2], [5, 5]])
    shared, expected = {0: [0, 2], 1: [1], 2: [0, 2], 3: [3]}, 0.0
    for matrix in (logits, logits.T):
        for row, right in shared.items():
            total = math.log(sum(math.exp(x) for x in matrix[row].tolist()))
            expected += sum(total - float(matrix[row, column]) for column in right) / len(right) / 8
    assert float(contrast(logits, words)) == pytest.approx(expected, abs=1e-6)


# -- tokenizer and training -------------------------------------------------------------------------------------------
def test_every_name_can_be_read(tokenizer):
    for name in CLASSES:
        ids = tokenizer(f'a photo of {name}')['input_ids']
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.convert_ids_to_tokens(ids) == [START, 'a', 'photo', 'of', *name.split(), END]


def test_both_rules_of_pooling_find_the_end(tokenizer):
    """The first end token, and the largest number: transformers takes one or the other by the number of the token."""
    ids = tokenizer(['a shape grows', 'a shape ' * MAX_WORDS], padding=True, truncation=True, return_tensors='np')
    for row, length in zip(ids['input_ids'], (5, MAX_WORDS)):
        assert row.argmax() == (row == tokenizer.eos_token_id).argmax() == length - 1


def test_an_interrupted_run_ends_as_one_in_one_go(arguments, tmp_path):
    def train(steps: int, work_dir: str) -> Trainer:
        arguments.work_dir = tmp_path / work_dir
        trainer = Trainer(arguments)
        trainer.resume()
        trainer.run(until=steps)
        return trainer

    arguments.steps = 4
    whole = train(4, 'whole')
    train(2, 'parts')
    parts = train(4, 'parts')
    assert (whole.starts, parts.starts) == (1, 2)
    for name, value in whole.parts.state_dict().items():
        assert torch.equal(value, parts.parts.state_dict()[name]), name


def test_an_untrained_model_is_at_chance_and_saves_what_it_is(arguments, tmp_path):
    trainer = Trainer(arguments)
    write(trainer.model, trainer.tokenizer, tmp_path, {'command': 'none'})
    miniature = Miniature(tmp_path)
    for mine, theirs in zip(miniature.model.parameters(), trainer.model.parameters()):
        torch.testing.assert_close(mine, theirs, atol=1e-2, rtol=1e-2)
    found = retrieval(miniature, 'train', clips=100, choices=50)
    assert found['caption of a frame'] < 10
    assert found['frame of a caption'] < 10


# -- the weights in the repository ------------------------------------------------------------------------------------
@pytest.fixture(scope='module')
def miniature():
    return Miniature(WEIGHTS)


def test_the_weights_are_those_of_one_run_of_the_documented_command():
    record = json.loads((WEIGHTS / 'metrics.json').read_text())['training']
    file = WEIGHTS / 'model.safetensors'
    assert file.stat().st_size < 4e6
    assert hashlib.sha256(file.read_bytes()).hexdigest() == record['sha256']
    assert record['command'] == 'python -m projects.mini_clip.train'
    assert record['runs'] == 1
    assert {'seed', 'seconds', 'cpu_seconds', 'date', 'torch', 'transformers'} <= set(record)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_captions_are_found(miniature, split):
    found = retrieval(miniature, split, clips=100, choices=50)
    chance, within = 2, found['within a clip, chance']
    assert min(found['caption of a frame'], found['frame of a caption']) > 10 * chance
    assert min(found['caption of a frame, within a clip'], found['frame of a caption, within a clip']) > 1.5 * within


def test_the_backbones_load_it(miniature):
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 3, 64, 64)
    prompts = ['a photo of a shape grows', None]
    features = CLIPBackbone(str(WEIGHTS)).eval()(frames, prompts)
    with torch.inference_mode():
        seen = miniature.model.get_image_features(pixel_values=frames.flatten(0, 1)).pooler_output
    torch.testing.assert_close(features.visual.detach().flatten(0, 1), seen, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.textual[0], miniature.read(prompts[:1]), atol=1e-4, rtol=1e-4)
    adapted = MAFSARBackbone(str(WEIGHTS), adapter_channels=8).eval()(frames, prompts)
    torch.testing.assert_close(adapted.visual, features.visual, atol=1e-4, rtol=1e-4)


def test_texts_read_one_by_one_and_in_a_padded_batch_agree(miniature):
    names = [f'a photo of {name}' for name in CLASSES]
    one_by_one = CLIPTextEncoder(str(WEIGHTS))(names)
    torch.testing.assert_close(one_by_one, miniature.read(names), atol=1e-4, rtol=1e-4)
    apart = torch.cdist(one_by_one, one_by_one) + 9 * torch.eye(len(names))
    assert float(apart.min()) > 0.05
