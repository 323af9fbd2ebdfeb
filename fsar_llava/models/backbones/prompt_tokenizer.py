"""From a prompt to the token ids around the video."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WRAPPER = 'USER: {video}\n{prompt} ASSISTANT:'
"""How Video-LLaVA was taught to be asked [C]."""

TEXT_SPANS = ('prompt', 'prompt+assistant', 'last')
"""Which of the tokens behind the video are textual tokens."""


class PromptTokens(NamedTuple):
    """The tokens that follow the video.

    Attributes:
        ids: Token ids of everything after the video.
        start: Position of the first token of the prompt among ``ids``.
        stop: Position behind the last token of the prompt; what follows is ``ASSISTANT:``.
    """

    ids: tuple[int, ...]
    start: int
    stop: int

    def span(self, name: str) -> tuple[int, int]:
        """Where the textual tokens begin, and behind which position they end, for a name in ``TEXT_SPANS``."""
        end = len(self.ids)
        return dict(zip(TEXT_SPANS, [(self.start, self.stop), (self.start, end), (end - 1, end)]))[name]


class PromptTokenizer:
    """Tokenises prompts in Video-LLaVA's wrapper, with a single placeholder for the whole video.

    The tokenizer cuts the text at special tokens before it looks at anything else. So the ids before and after one
    placeholder are those before and after 2056 of them, at a thousandth of the work.

    Args:
        tokenizer: A fast tokenizer (one that reports character offsets).
        video_token_id: Id of the placeholder.

    Attributes:
        prefix: Token ids before the video, the same for every prompt.

    Raises:
        ValueError: If the tokenizer reports no offsets or does not know the placeholder.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, video_token_id: int) -> None:
        if not tokenizer.is_fast:
            raise ValueError(
                f'{type(tokenizer).__name__} does not report character offsets, which are needed to tell the prompt '
                'from its wrapper. Put a tokenizer.json beside the weights.'
            )
        video_token = tokenizer.convert_ids_to_tokens(video_token_id)
        if video_token is None:
            raise ValueError(
                f'The model marks videos with token id {video_token_id}, which its tokenizer (of {len(tokenizer)} '
                'tokens) does not have. The tokenizer belongs to another model.'
            )
        self._tokenizer = tokenizer
        self._video_token_id = video_token_id
        self._before, self._after = WRAPPER.replace('{video}', video_token).split('{prompt}')
        self.prefix, _ = self._split('?')
        self._cached = lru_cache(maxsize=4096)(self._tokenize)

    def __call__(self, prompt: str) -> PromptTokens:
        """Tokenise one prompt.

        Raises:
            ValueError: If the prompt has no tokens, or contains the placeholder of a video.
        """
        return self._cached(prompt)

    def _tokenize(self, prompt: str) -> PromptTokens:
        prefix, following = self._split(prompt)
        if prefix != self.prefix:
            raise ValueError(
                f'This tokenizer splits the text before the video in another way for the prompt {prompt!r}, so that '
                'prompts cannot share the video. Use the tokenizer that came with the model.'
            )
        begin, end = len(self._before), len(self._before) + len(prompt)
        inside = [k for k, (_, (first, last)) in enumerate(following) if first < end and last > begin]
        if not inside:
            raise ValueError(f'The prompt {prompt!r} has no tokens; give a question.')
        return PromptTokens(tuple(token for token, _ in following), inside[0], inside[-1] + 1)

    def _split(self, prompt: str) -> tuple[tuple[int, ...], list[tuple[int, tuple[int, int]]]]:
        """Ids before the video; ids with their character offsets after it."""
        text = self._before + prompt + self._after
        encoded = self._tokenizer(text, return_offsets_mapping=True)
        ids = encoded['input_ids']
        if ids.count(self._video_token_id) != 1:
            raise ValueError(
                f'Expected one placeholder of a video in {text!r}, but found {ids.count(self._video_token_id)}. The '
                'prompt must not contain any, and the tokenizer must know it as a special token.'
            )
        place = ids.index(self._video_token_id)
        return tuple(ids[:place]), list(zip(ids[place + 1 :], encoded['offset_mapping'][place + 1 :]))
