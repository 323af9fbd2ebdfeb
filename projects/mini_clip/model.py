"""Architecture and tokenizer of the miniature: the transformers CLIP classes at 1.3 million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projects.mini_video_llava.model import PATCH, SIDE

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

WIDTH = 128
MAX_WORDS = 48
UNKNOWN, START, END = '<unk>', '<|startoftext|>', '<|endoftext|>'


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Word-level, lower-case tokenizer of every word in ``texts``; puts CLIP's tokens of start and end around them.

    As in CLIP both come last. CLIP's text encoder reads the embedding at the first end token, unless that has number 2:
    then, for the sake of old checkpoints, at the largest number. The last place serves both rules.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text.lower())})
    vocabulary = {word: i for i, word in enumerate([UNKNOWN, *words, START, END])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f'{START} $A {END}', special_tokens=[(token, vocabulary[token]) for token in (START, END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        padding_side='right',
        model_max_length=MAX_WORDS,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> CLIPConfig:
    """Configuration of the miniature: both encoders 128 wide and 3 layers deep."""
    from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

    sizes = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=WIDTH,
        hidden_act='gelu',
    )
    text = CLIPTextConfig(
        **sizes,
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_WORDS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision = CLIPVisionConfig(**sizes, image_size=SIDE, patch_size=PATCH)
    return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)


def build_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """A model to train.

    Positions of patches start as large as the patches themselves, not at a twentieth of them as transformers has it:
    the image encoder then learns where things are in a quarter of the steps.
    """
    from torch import nn
    from transformers import CLIPModel

    model = CLIPModel(build_config(tokenizer))
    nn.init.normal_(model.vision_model.embeddings.position_embedding.weight, std=0.5)
    return model
