"""A Video-LLaVA of toy size, and what transformers' own full forward pass says about it."""

import pytest
import torch

from fsar_llava.models.backbones.random_source import RandomSource, fill_randomly

ARCHITECTURE = dict(
    vision=dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    ),
    text=dict(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    ),
    seed=3,
)
FRAMES, PATCHES, DEPTH, WIDTH = 3, 16, 4, 64


@pytest.fixture(scope='session')
def full_model():
    from transformers import VideoLlavaForConditionalGeneration

    with torch.random.fork_rng(devices=[]):
        model = VideoLlavaForConditionalGeneration(RandomSource(ARCHITECTURE).config)
    fill_randomly(model, 7, torch.float32)
    return model.eval()


@pytest.fixture(scope='session')
def folder(full_model, tmp_path_factory):
    path = tmp_path_factory.mktemp('weights')
    full_model.save_pretrained(path)
    RandomSource(ARCHITECTURE).tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope='session')
def pixels():
    return torch.randn(3, FRAMES, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='session')
def full_forward(full_model):
    """Hidden states ``[S, D]`` of one video and one prompt, and the token ids ``[S]``, the way transformers does it."""
    tokenizer = RandomSource(ARCHITECTURE).tokenizer()

    @torch.no_grad()
    def run(frames, prompt, layer):
        text = f'USER: {"<video>" * (FRAMES * (PATCHES + 1))}\n{prompt} ASSISTANT:'
        ids = torch.tensor([tokenizer(text)['input_ids']])
        last = []
        hook = full_model.model.language_model.layers[DEPTH - 1].register_forward_hook(
            lambda module, args, output: last.append(output)
        )
        output = full_model(input_ids=ids, pixel_values_videos=frames[None], output_hidden_states=True)
        hook.remove()
        # The last entry of hidden_states has passed the final norm; the states of the layer itself have not.
        states = output.hidden_states[layer] if layer < DEPTH else last[0]
        return states[0], ids[0]

    return run


@pytest.fixture(scope='session')
def expected(full_model, full_forward):
    """``visual [T, 1+P, D]`` and the textual tokens ``[L, D]`` of the prompt and what follows it."""

    def run(frames, prompt, layer):
        states, ids = full_forward(frames, prompt, layer)
        is_video = ids == full_model.config.video_token_id
        # A byte-level tokenizer: a newline, the prompt's bytes, ' ASSISTANT:'.
        following = states[int(is_video.nonzero().max()) + 2 :]
        assert len(following) == len(prompt.encode()) + len(' ASSISTANT:')
        return states[is_video].reshape(FRAMES, PATCHES + 1, WIDTH), following

    return run
