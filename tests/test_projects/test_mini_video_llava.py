from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fsar_llava.datasets.synthetic_motion import CLASSES, HELD_OUT, PROGRAMS, frame_times, sample_scenes, sentence
from fsar_llava.datasets.synthetic_motion.writer import class_scenes
from projects.mini_video_llava import questions as q
from projects.mini_video_llava.auxiliary import block_causal, prefix_attention
from projects.mini_video_llava.evaluate import Miniature, ask, distances, fresh_clips, one_shot
from projects.mini_video_llava.export import export
from projects.mini_video_llava.model import FRAMES, TOKENS_PER_FRAME, build_config, build_tokenizer
from projects.mini_video_llava.stream import Stream, motions, places, to_pixels
from tests.test_datasets.test_synthetic_motion.reader import read_program

WEIGHTS = Path(__file__).parents[2] / 'projects' / 'mini_video_llava' / 'weights'


@pytest.fixture(scope='module')
def tokenizer():
    return build_tokenizer(q.all_texts())


@pytest.fixture(scope='module')
def model(tokenizer):
    from transformers import VideoLlavaForConditionalGeneration

    torch.manual_seed(0)
    return VideoLlavaForConditionalGeneration(build_config(tokenizer)).eval()


@pytest.fixture(scope='module')
def untrained(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp('untrained')
    export(model, tokenizer, folder, {'command': 'none'})
    return folder


def default_steps() -> dict[str, int]:
    """Steps of the documented command, read from its own parser."""
    import sys
    from unittest.mock import patch

    from projects.mini_video_llava.train import parse_args

    with patch.object(sys, 'argv', ['train']):
        args = parse_args()
    return {'see': args.see_steps, 'talk': args.talk_steps}


# -- nothing that is held out is ever shown or said -------------------------------------------------------------------
def shows_held_out(program: tuple[str, ...]) -> bool:
    return any(pair in HELD_OUT for pair in pairwise(program))


@pytest.mark.parametrize('stage', ['see', 'talk'])
def test_the_whole_stream_of_the_documented_command_shows_no_held_out_program(stage):
    steps = default_steps()[stage]
    stream, shown = Stream(stage, steps, clips=32 if stage == 'see' else 16, seed=0), set()
    for step in range(steps):
        shown.update(stream.programs(step, stream.rng(step)))
    assert not any(shows_held_out(program) for program in shown)
    assert shown >= set(PROGRAMS['train'])


def test_the_stream_says_no_held_out_name(tokenizer):
    """Prompts and answers, of every tenth step; a held-out sentence is not even part of a longer one."""
    names = [sentence(program)[len('a shape ') :] for program in HELD_OUT]
    steps = default_steps()['talk']
    stream, texts = Stream('talk', steps, clips=16, seed=0, tokenizer=tokenizer), set()
    looks = SimpleNamespace(shape=np.zeros((16, 2), int), color=np.zeros((16, 2), int))
    for step in range(0, steps, 10):
        rng = stream.rng(step)
        for v, program in enumerate(stream.programs(step, rng)):
            asked = stream.ask(step, program, looks, v, rng)
            texts.update(text for item in asked for text in (item.prompt, item.answer))
            assert not any(shows_held_out(named) for item in asked for named in item.named)
    assert not any(name in text for name in names for text in texts)


def test_what_the_stream_shows_is_what_it_claims():
    """The trajectories behind real batches, read by a rule, give the programs that the rejection has checked."""
    stream = Stream('talk', 1000, clips=16, seed=0)
    for step in (0, 400, 999):
        rng = stream.rng(step)
        programs = stream.programs(step, rng)
        scenes = sample_scenes(programs, frame_times(64), rng)
        read = [read_program(scenes.position[v], scenes.size[v], scenes.opacity[v]) for v in range(16)]
        assert read == programs


# -- batches ----------------------------------------------------------------------------------------------------------
def test_a_step_is_a_function_of_seed_and_step(tokenizer):
    first, again = (Stream('talk', 50, clips=3, seed=0, tokenizer=tokenizer)[30] for _ in range(2))
    other = Stream('talk', 50, clips=3, seed=1, tokenizer=tokenizer)[30]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first['frames'], other['frames'])


def test_marks_sit_on_the_words_they_judge(tokenizer):
    packer = q.Packer(tokenizer)
    program, asked = ('right', 'approaches'), ('right', 'leaves')
    found = packer.question(q.yes_no(program, asked), program)
    words = [
        (tokenizer.convert_ids_to_tokens(found['ids'][at]), bool(right), bool(end)) for at, right, end in found['marks']
    ]
    assert words == [('right', True, False), ('another', False, False), ("'", False, True)]
    answered = [tokenizer.convert_ids_to_tokens(i) for i, w in zip(found['ids'], found['weights']) if w]
    assert answered == ['no', ',', 'it', 'is', 'not', '.', '</s>']


def test_negatives_differ_from_the_program_and_may_be_named():
    rng = np.random.default_rng(0)
    for program in PROGRAMS['train']:
        for _ in range(20):
            other = q.negative(program, rng)
            assert other != program
            assert not shows_held_out(other)


def test_targets_describe_the_scene():
    scenes = sample_scenes([('right',), ('grows',)], frame_times(8), np.random.default_rng(0))
    motion = motions([('right',), ('grows',)], scenes)
    assert motion['motion'][0, :, 0].sum() > 2
    assert abs(motion['motion'][0, :, 2].sum()) < 1e-5
    assert motion['motion'][1, :, 2].sum() > 1
    assert set(motion['primitive'][0].tolist()) <= {0, 10}
    place = places(scenes)
    first = scenes.color.argmin(1)
    for v in range(2):
        shake = np.rint(scenes.shake[v] * 64) / 64
        x = (scenes.position[v, :, first[v], 0] + shake[:, 0] - 0.5) * 5
        np.testing.assert_allclose(place['place'][v, :, 0, 0], x, atol=1e-5)
        column = np.clip(((scenes.position[v, :, first[v]] + shake) * 4).astype(int), 0, 3)
        assert place['heat'][v, :, 0].argmax(-1).tolist() == (column[:, 1] * 4 + column[:, 0]).tolist()


def test_packed_questions_are_answered_as_if_asked_alone(model, tokenizer):
    """Hidden states of every question behind a shared prefix equal those of the question alone."""
    batch = Stream('talk', 10, clips=2, seed=0, tokenizer=tokenizer)[3]
    packer, core = q.Packer(tokenizer), model.model
    pixels = to_pixels(batch['frames'].numpy())
    with torch.inference_mode():
        features = core.get_video_features(pixels).pooler_output.reshape(2, FRAMES * TOKENS_PER_FRAME, -1)
        embeds = core.language_model.embed_tokens(batch['ids'])
        start = packer.video_start
        embeds = torch.cat([embeds[:, :start], features, embeds[:, start + features.shape[1] :]], dim=1)
        packed = core.language_model(
            inputs_embeds=embeds,
            attention_mask=block_causal(batch['segments'], torch.float32),
            position_ids=batch['positions'],
            use_cache=False,
        ).last_hidden_state
        for v in range(2):
            for segment in range(1, int(batch['segments'][v].max()) + 1):
                own = batch['segments'][v] == segment
                ids = torch.cat([torch.tensor(packer.prefix), batch['ids'][v][own]])[None]
                alone = core(input_ids=ids, pixel_values_videos=pixels[v : v + 1], use_cache=False).last_hidden_state
                torch.testing.assert_close(packed[v, own], alone[0, len(packer.prefix) :], atol=1e-4, rtol=1e-4)


def test_prefix_attention_equals_masked_attention():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 20, 8)
    segments = torch.tensor([[0] * 9 + [1] * 5 + [2] * 6, [0] * 9 + [1] * 8 + [-1] * 3])
    mask = block_causal(segments, torch.float32)
    found, _ = prefix_attention(9)(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-5, rtol=1e-5)


# -- tokenizer and files ----------------------------------------------------------------------------------------------
def test_every_name_and_prompt_is_known_to_the_tokenizer(tokenizer):
    prompts = [q.UNKNOWN, *[q.KNOWN_SUPPORT.format(name) for name in CLASSES]]
    prompts.append(q.KNOWN_QUERY.format('; '.join(f"'{name}'" for name in CLASSES)))
    for prompt in prompts:
        ids = tokenizer(f'USER: <video>\n{prompt} ASSISTANT:')['input_ids']
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.unk_token_id not in ids
        assert ids.count(tokenizer.convert_tokens_to_ids('<video>')) == 1
    for name in CLASSES:
        assert tokenizer.decode(tokenizer(name)['input_ids'], skip_special_tokens=True) == name


def test_export_loads_like_any_video_llava(untrained, model):
    miniature = Miniature(untrained)
    assert (untrained / 'model.safetensors').stat().st_size < 10e6
    core = miniature.model.model
    for mine, theirs in zip(core.image_tower.parameters(), core.video_tower.parameters()):
        assert torch.equal(mine, theirs)
    for mine, theirs in zip(core.language_model.parameters(), model.model.language_model.parameters()):
        torch.testing.assert_close(mine, theirs, atol=1e-2, rtol=1e-2)
    frames = fresh_clips([('right',), ('up', 'left')], 0)
    assert all(
        isinstance(answer, str) for answer in miniature.answer(frames, [q.UNKNOWN, 'What happens first?'], words=3)
    )


def few_shot(miniature: Miniature) -> dict[str, float]:
    """5-way 1-shot accuracy on meta-test classes by layer, Bi-MHM on frame means minus their mean."""
    frames = fresh_clips([program for program in PROGRAMS['test'] for _ in range(12)], 3)
    accuracy = {}
    for layer, features in miniature.visual_tokens(frames).items():
        distance = distances(features - features.mean((0, 1)))['Bi-MHM']
        accuracy[layer] = one_shot(distance, np.repeat(np.arange(16), 12), episodes=600, seed=0)[0]
    return accuracy


def test_an_untrained_model_is_at_chance(untrained):
    assert max(few_shot(Miniature(untrained)).values()) < 26


# -- the weights in the repository ------------------------------------------------------------------------------------
@pytest.fixture(scope='module')
def miniature():
    return Miniature(WEIGHTS)


def test_the_weights_are_those_of_the_record(miniature):
    record = json.loads((WEIGHTS / 'metrics.json').read_text())
    file = WEIGHTS / 'model.safetensors'
    assert file.stat().st_size <= 10 * 2**20
    assert hashlib.sha256(file.read_bytes()).hexdigest() == record['training']['sha256']
    assert {'command', 'seed', 'date', 'torch', 'transformers'} <= set(record['training'])
    assert miniature.model.config.vision_feature_layer == -1


def test_its_size_is_the_one_that_is_told(miniature):
    numbers = sum(weight.numel() for weight in miniature.model.parameters())
    copied = sum(weight.numel() for weight in miniature.model.model.image_tower.parameters())
    told = {number: f'{number / 1e6:.1f} million' for number in (numbers, numbers - copied)}
    page, module = ((WEIGHTS.parent / name).read_text('utf-8') for name in ('README.md', 'model.py'))
    assert told[numbers] in page
    assert told[numbers - copied] in page.replace('\n', ' ')
    assert told[numbers - copied] in module


def test_the_miniature_knows_something(miniature):
    found = ask(miniature, PROGRAMS['train'], 100, seed=0)
    assert found['caption'] > 50  # of 38 sentences
    assert found['yes_no'] >= 75
    assert found['options'] >= 60


def test_trained_tokens_separate_unseen_classes(miniature):
    accuracy = few_shot(miniature)
    assert accuracy['tower'] < 26
    assert max(accuracy.values()) > 40


def test_clips_that_were_written_and_decoded_are_understood_as_well(miniature, tmp_path):
    decord = pytest.importorskip('decord')
    from fsar_llava.datasets.synthetic_motion.renderer import render
    from fsar_llava.datasets.synthetic_motion.writer import _write_video

    labels = list(range(0, 38, 2))
    said = []
    for label in labels:
        clip = render(class_scenes(label, 1, seed=7))[0]
        _write_video(tmp_path / f'{label}.mp4', clip)
        frames = decord.VideoReader(str(tmp_path / f'{label}.mp4'))[:].asnumpy()[1::3]
        said += miniature.answer(frames[None], [q.UNKNOWN])
    assert np.mean([answer == CLASSES[label] for answer, label in zip(said, labels)]) > 0.5
