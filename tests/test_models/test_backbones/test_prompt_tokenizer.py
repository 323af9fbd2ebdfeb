import json

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaTokenizer

from fsar_llava.models.backbones.prompt_tokenizer import PromptTokenizer
from fsar_llava.models.backbones.random_source import byte_tokenizer

PROMPTS = [
    "What's the action of the video?",
    "Please describe if the 'brush hair' action is present in the video in one sentence.",
    "Watch the video and identify the main action category from these options: 'a b'; 'cc (!&;[])'; 'Café 跳'.",
    ' leading and trailing spaces ',
    'x',
]


def llama_tokenizer(**kwargs):
    """A tokenizer of Vicuna's kind: sentencepiece BPE with byte fallback, spaces as a letter of their own."""
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token='<unk>', fuse_unk=True))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='first', split=False)
    special = ['<unk>', '<s>', '</s>', *(f'<0x{byte:02X}>' for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, max_token_length=12, show_progress=False)
    bpe.train_from_iterator(['USER: ASSISTANT: ' + prompt for prompt in PROMPTS[:2]] * 3, trainer)
    model = json.loads(bpe.to_str())['model']
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(' ')) for merge in model['merges']]
    tokenizer = LlamaTokenizer(vocab=model['vocab'], merges=merges, **kwargs)
    tokens = [AddedToken(token, special=True, normalized=False) for token in ('<image>', '<video>')]
    tokenizer.add_tokens(tokens, special_tokens=True)
    return tokenizer


TOKENIZERS = {
    'bytes': byte_tokenizer,
    'llama': llama_tokenizer,
    'llama with BOS': lambda: llama_tokenizer(add_bos_token=True),
    'llama, legacy': lambda: llama_tokenizer(legacy=True, add_bos_token=True),
    'llama without prefix space': lambda: llama_tokenizer(add_prefix_space=False),
}


@pytest.fixture(params=TOKENIZERS.values(), ids=TOKENIZERS.keys())
def tokenizer(request):
    return request.param()


@pytest.mark.parametrize('prompt', PROMPTS)
@pytest.mark.parametrize('num_tokens', [1, 2056])
def test_equals_tokenising_the_expanded_text(tokenizer, prompt, num_tokens):
    video = tokenizer.convert_tokens_to_ids('<video>')
    expanded = tokenizer(f'USER: {"<video>" * num_tokens}\n{prompt} ASSISTANT:')['input_ids']
    split = PromptTokenizer(tokenizer, video)
    assert [*split.prefix, *[video] * num_tokens, *split(prompt).ids] == expanded


@pytest.mark.parametrize('prompt', PROMPTS)
def test_the_span_is_the_prompt(tokenizer, prompt):
    tokens = PromptTokenizer(tokenizer, tokenizer.convert_tokens_to_ids('<video>'))(prompt)
    assert tokenizer.decode(tokens.ids[: tokens.start]).strip() == ''
    assert tokenizer.decode(tokens.ids[tokens.start : tokens.stop]).strip() == prompt.strip()
    assert tokenizer.decode(tokens.ids[tokens.stop :]).strip() == 'ASSISTANT:'


def test_byte_tokenizer_is_the_text_in_bytes():
    tokens = PromptTokenizer(byte_tokenizer(), byte_tokenizer().convert_tokens_to_ids('<video>'))('Café')
    assert (tokens.start, tokens.stop, len(tokens.ids)) == (1, 1 + 5, 1 + 5 + len(' ASSISTANT:'))
    assert byte_tokenizer().get_vocab() == byte_tokenizer().get_vocab()


def test_needs_offsets():
    class SlowTokenizer:
        is_fast = False

    with pytest.raises(ValueError, match='SlowTokenizer does not report character offsets'):
        PromptTokenizer(SlowTokenizer(), 1)
