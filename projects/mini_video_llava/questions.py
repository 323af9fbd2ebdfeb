"""What the miniature is asked, and how several questions about one clip share one pass over its frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fsar_llava.datasets.synthetic_motion.programs import (
    ALLOWED,
    AXES,
    INVERSE,
    PRIMITIVES,
    PROGRAMS,
    Program,
    leaks,
    reverse,
    sentence,
    swap,
)
from fsar_llava.datasets.synthetic_motion.scenes import SHAPES

from .model import FRAMES, TOKENS_PER_FRAME

UNKNOWN = "What's the action of the video?"
KNOWN_SUPPORT = "Please describe if the '{}' action is present in the video in one sentence."
KNOWN_QUERY = 'Watch the video and identify the main action category from these options: {}.'
DENSE = {
    'first': 'What happens first?',
    'last': 'What happens last?',
    'shape': 'Which shape acts?',
    'color': 'Which color does it have?',
}
YES, NO = 'Yes, it is.', 'No, it is not.'
COLORS = ('red', 'orange', 'lime', 'green', 'cyan', 'blue', 'purple', 'pink')
NAMED: tuple[Program, ...] = tuple(p for n in ALLOWED for p in ALLOWED[n])
"""Every program whose sentence may be read in training; the held-out sentences are never read either."""


@dataclass
class Question:
    """One question and its answer.

    Attributes:
        prompt: Text between the video and ``ASSISTANT:``.
        answer: Text the model should say.
        kind: ``caption``, ``yesno``, ``options`` or ``dense``.
        named: Programs named inside single quotes in the prompt, in order; each is compared with the video's program.
    """

    prompt: str
    answer: str
    kind: str
    named: list[Program] = field(default_factory=list)


def caption(program: Program) -> Question:
    """The Unknown prompt."""
    return Question(UNKNOWN, sentence(program), 'caption')


def yes_no(program: Program, asked: Program) -> Question:
    """The Known support prompt."""
    return Question(KNOWN_SUPPORT.format(sentence(asked)), YES if asked == program else NO, 'yesno', [asked])


def options(program: Program, asked: list[Program]) -> Question:
    """The Known query prompt over ``asked``, which holds the program itself."""
    names = '; '.join(f"'{sentence(p)}'" for p in asked)
    return Question(KNOWN_QUERY.format(names), sentence(program), 'options', list(asked))


def dense(program: Program, kind: str, shape: int, color: int) -> Question:
    """A question about one detail."""
    answer = {
        'first': sentence(program[:1]),
        'last': sentence(program[-1:]),
        'shape': f'the {SHAPES[shape]}',
        'color': f'it is {COLORS[color]}',
    }[kind]
    return Question(DENSE[kind], answer, 'dense')


def hard_negative(program: Program, rng: np.random.Generator) -> Program:
    """A different, nameable program that is close: reversed, swapped, or with one primitive exchanged or dropped."""
    at = int(rng.integers(len(program)))
    other = PRIMITIVES[int(rng.integers(len(PRIMITIVES)))]
    candidates = [
        reverse(program),
        swap(program),
        (*program[:at], INVERSE[program[at]], *program[at + 1 :]),
        (*program[:at], other, *program[at + 1 :]),
        (*program[:at], other, *program[at + 1 :]),
        program[:at] + program[at + 1 :],
    ]
    candidates = [p for p in candidates if p and p != program and p in _NAMED_SET]
    return candidates[int(rng.integers(len(candidates)))] if candidates else easy_negative(program, rng)


def easy_negative(program: Program, rng: np.random.Generator) -> Program:
    """A different program, drawn like those of the stream."""
    while True:
        pool = PROGRAMS['train'] if rng.random() < 0.5 else NAMED
        other = pool[int(rng.integers(len(pool)))]
        if other != program:
            return other


def negative(program: Program, rng: np.random.Generator, *, hard: float = 0.6) -> Program:
    """A hard negative with probability ``hard``, else an easy one."""
    return (hard_negative if rng.random() < hard else easy_negative)(program, rng)


_NAMED_SET = frozenset(NAMED)
assert not any(leaks(p) for p in NAMED)


def all_texts() -> list[str]:
    """Every text the tokenizer must be able to read."""
    from fsar_llava.datasets.synthetic_motion import CLASSES

    texts = ['USER: ASSISTANT:', UNKNOWN, KNOWN_SUPPORT, KNOWN_QUERY, *DENSE.values(), YES, NO, *CLASSES]
    texts += [f'the {shape}' for shape in SHAPES] + [f'it is {color}' for color in COLORS]
    return [*texts, '; , . ? ! : \' "', 'actions videos shapes moves']


class Packer:
    """Packs the questions about one clip into one sequence behind one shared ``USER: <video>``.

    Every question restarts the positions after the prefix and attends to the prefix and itself alone: its answer is the
    same as if it had been asked alone.

    Args:
        tokenizer: The miniature's tokenizer.
    """

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        video = tokenizer.convert_tokens_to_ids('<video>')
        head = tokenizer('USER:')['input_ids']
        self.prefix = [*head, *[video] * (FRAMES * TOKENS_PER_FRAME)]
        self.video_start = len(head)
        self.quote = self._ids("'")[0]
        self.heavy = {self._ids(w)[0] for w in (*PRIMITIVES, *COLORS, *SHAPES, 'yes', 'no')} | {
            self.tokenizer.eos_token_id
        }
        self.heavy |= {self._ids('then')[0]}
        self.primitives = {self._ids(p)[0]: p for p in PRIMITIVES}
        self._tails: dict[str, list[int]] = {}

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)['input_ids']

    def _cached(self, text: str) -> list[int]:
        if text not in self._tails:
            self._tails[text] = self._ids(text)
        return self._tails[text]

    def question(self, question: Question, program: Program) -> dict[str, list]:
        """Ids, answer weights (0 where nothing is predicted) and marks of one question.

        Marks are ``(position, truth, is_end)``: at the last word of each primitive that a quoted name holds, whether
        the video has this primitive at this place; at the closing quote, whether the whole name is right.
        """
        if question.kind in ('yesno', 'options'):
            ids, marks = self._with_names(question, program)
        else:
            ids, marks = list(self._cached(question.prompt)), []
        ids = ids + self._cached('ASSISTANT:')
        answer = [*self._cached(question.answer), self.tokenizer.eos_token_id]
        weights = [0.0] * len(ids) + [1.0 if i in self.heavy else 0.2 for i in answer]
        return {'ids': ids + answer, 'weights': weights, 'marks': marks}

    def _with_names(self, question: Question, program: Program) -> tuple[list[int], list[tuple[int, bool, bool]]]:
        ids, marks = [], []
        parts = question.prompt.split("'")
        for i, part in enumerate(parts):
            if i % 2:
                named = question.named[i // 2]
                ids.append(self.quote)
                tokens, place = self._cached(part), 0
                for token in tokens:
                    if token in self.primitives:
                        right = place < len(program) and program[place] == self.primitives[token]
                        # a relation ends with the word "another", one further on
                        marks.append((len(ids) + (self.primitives[token] in AXES[4]), right, False))
                        place += 1
                    ids.append(token)
                marks.append((len(ids), named == program, True))
                ids.append(self.quote)
            else:
                ids.extend(self._cached(part))
        return ids, marks

    def pack(self, questions: list[list[Question]], programs: list[Program]) -> dict[str, np.ndarray]:
        """Pack the questions of ``V`` clips.

        Returns:
            All ``[V, S]``: ``ids``, ``positions``, ``segments`` (0 is the prefix, -1 padding), ``weights`` of
            predicting each token from the one before it, ``kinds`` (index into ``KINDS`` at answer tokens); ``marks``
            ``[M, 4]``: clip, position, truth, is_end.
        """
        rows = [[self.question(q, program) for q in qs] for qs, program in zip(questions, programs)]
        length = len(self.prefix) + max(sum(len(q['ids']) for q in row) for row in rows)
        length = -(-length // 8) * 8
        shape = (len(rows), length)
        out = {
            'ids': np.full(shape, self.tokenizer.pad_token_id, np.int64),
            'positions': np.zeros(shape, np.int64),
            'segments': np.full(shape, -1, np.int64),
            'weights': np.zeros(shape, np.float32),
            'kinds': np.full(shape, -1, np.int64),
        }
        marks, start = [], len(self.prefix)
        out['ids'][:, :start] = self.prefix
        out['positions'][:, :start] = np.arange(start)
        out['segments'][:, :start] = 0
        for v, row in enumerate(rows):
            at = start
            for k, q in enumerate(row):
                part = slice(at, at + len(q['ids']))
                out['ids'][v, part] = q['ids']
                out['positions'][v, part] = np.arange(start, start + len(q['ids']))
                out['segments'][v, part] = k + 1
                out['weights'][v, part] = q['weights']
                out['kinds'][v, part] = np.where(np.array(q['weights']) > 0, KINDS.index(questions[v][k].kind), -1)
                marks += [(v, at + m, right, end) for m, right, end in q['marks']]
                at += len(q['ids'])
        out['marks'] = np.array(marks, np.int64).reshape(-1, 4)
        return out


KINDS = ('caption', 'yesno', 'options', 'dense')
