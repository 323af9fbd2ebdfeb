"""Train the miniature CLIP from scratch.

From the root of the repository::

    python -m projects.mini_clip.train

Image and text encoder learn from single frames with captions (symmetric contrastive loss), the names of meta-train
classes from the mean of a clip's frames; heads that exist in training only teach the image encoder where both shapes
are. Steps and seed are fixed; an interrupted run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import math
import resource
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from projects.mini_video_llava.auxiliary import SeeingHead
from projects.mini_video_llava.export import command, write
from projects.mini_video_llava.stream import to_pixels
from projects.mini_video_llava.train import SEE_WEIGHTS
from projects.mini_video_llava.training import (
    Progress,
    add_options,
    learning_rate,
    read_checkpoint,
    write_checkpoint,
)

from .captions import CLASS_SENTENCES, all_texts
from .model import WIDTH, build_model, build_tokenizer
from .stream import FRAMES_PER_CLIP, CaptionStream

WEIGHTS = {**SEE_WEIGHTS, 'caption': 0.5, 'class': 0.25}
MAX_SCALE = math.log(100)
USAGE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def parse_args() -> argparse.Namespace:
    """Command line; the defaults are what made the weights in the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=1700)
    parser.add_argument('--clips', type=int, default=24, help='clips a step, of 4 frames each')
    add_options(parser, Path(__file__).parent, threads=1)
    return parser.parse_args()


class Trainer:
    """Holds model, training heads, optimiser and position in the schedule; all of it goes into a checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.tokenizer = build_tokenizer(all_texts())
        self.model = build_model(self.tokenizer).to(args.device)
        for config in (self.model.config.vision_config, self.model.config.text_config):
            config._attn_implementation = 'eager'  # a few dozen tokens: fused kernels cost more
        self.seeing = SeeingHead(WIDTH).to(args.device)
        self.parts = nn.ModuleDict({'model': self.model, 'seeing': self.seeing})
        self.opt = torch.optim.AdamW(self.parts.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.02)
        self.names = self.tokenizer(
            [f'a photo of {name}' for name in CLASS_SENTENCES], padding=True, return_tensors='pt'
        )['input_ids'].to(args.device)
        self.file = args.work_dir / 'last.pt'
        self.step, self.seconds, self.starts = 0, 0.0, 1

    # -- forward -------------------------------------------------------------------------------------------------------
    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every loss, and how many captions and class names are found among those of the batch."""
        pixels = to_pixels(batch['frames'].numpy()).to(self.args.device)
        batch = {k: v.to(self.args.device) for k, v in batch.items() if k != 'frames'}
        with torch.autocast(self.args.device, torch.bfloat16):
            seen = self.model.vision_model(rearrange(pixels, 'v t c h w -> (v t) c h w'), output_hidden_states=True)
            tokens = rearrange(seen.hidden_states[-1], '(v t) p d -> v t p d', t=FRAMES_PER_CLIP)
            found = self.seeing(tokens, batch)
            frames = self.model.visual_projection(seen.pooler_output)
            captions, names = self.read(batch['words']), self.read(self.names)
        # Cosines by a learned factor of up to 100 are too much for bf16.
        frames, captions, names = (F.normalize(x.float(), dim=-1) for x in (frames, captions, names))
        clips = F.normalize(frames.unflatten(0, (-1, FRAMES_PER_CLIP)).mean(1), dim=-1)
        scale, label = self.model.logit_scale.exp(), batch['label']
        pairs, classes = scale * frames @ captions.T, scale * clips @ names.T
        found['caption'] = contrast(pairs, batch['words'])
        found['class'] = F.cross_entropy(classes, label, ignore_index=-1)
        found['acc_caption'] = (pairs.argmax(1) == torch.arange(len(pairs), device=label.device)).float().mean()
        found['acc_class'] = (classes.argmax(1) == label)[label >= 0].float().mean()
        return found

    def read(self, words: Tensor) -> Tensor:
        """Embeddings of padded texts ``[M, L]`` to ``[M, D]``."""
        return self.model.text_projection(self.model.text_model(words).pooler_output)

    # -- schedule ------------------------------------------------------------------------------------------------------
    def run(self, *, until: int | None = None) -> None:
        """Train from wherever the last checkpoint left it to the end of the schedule, or to a step before."""
        last = until or self.args.steps
        stream = CaptionStream(last, clips=self.args.clips, seed=self.args.seed, tokenizer=self.tokenizer)
        progress = Progress()
        for batch in stream.loader(self.step):
            for group in self.opt.param_groups:
                group['lr'] = learning_rate(self.args.lr, self.step, self.args.steps)
            found = self.losses(batch)
            loss = sum(weight * found[name] for name, weight in WEIGHTS.items())
            self.opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parts.parameters(), 1.0)
            self.opt.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(max=MAX_SCALE)
            self.step += 1
            progress.add({'loss': loss, **found})
            done = self.step == last
            if done or self.step % self.args.log_every == 0:
                self.seconds += progress.report(f'{self.step}/{self.args.steps}')
            if done or self.step % self.args.save_every == 0:
                self.save()

    # -- checkpoints ---------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Write a checkpoint."""
        state = {name: getattr(self, name) for name in ('step', 'seconds', 'starts')}
        state |= {'parts': self.parts.state_dict(), 'opt': self.opt.state_dict()}
        write_checkpoint(self.file, state)

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        if state := read_checkpoint(self.file, self.args.device):
            self.parts.load_state_dict(state['parts'])
            self.opt.load_state_dict(state['opt'])
            self.step, self.seconds, self.starts = state['step'], state['seconds'], state['starts'] + 1
            print(f'resumed at step {self.step}', flush=True)


def contrast(logits: Tensor, words: Tensor) -> Tensor:
    """Symmetric contrastive loss of frames and captions ``[M, M]``; frames of equal captions ``[M, L]`` share them."""
    same = (words[:, None] == words).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def main() -> None:
    """Train and save the model."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    trainer = Trainer(args)
    count = sum(p.numel() for p in trainer.model.parameters())
    print(f'{count / 1e6:.2f} M parameters, {len(trainer.tokenizer)} words', flush=True)
    trainer.resume()
    trainer.run()
    record = {
        'command': command('projects.mini_clip.train'),
        'seed': args.seed,
        'steps': args.steps,
        'clips': args.clips,
        'lr': args.lr,
        'runs': trainer.starts,  # 1: from start to finish in one run
        'seconds': round(trainer.seconds),
        'cpu_seconds': round(sum(sum(resource.getrusage(who)[:2]) for who in USAGE)),  # of this run and its worker
    }
    print(f'saved {write(trainer.model, trainer.tokenizer, args.out, record)}', flush=True)


if __name__ == '__main__':
    main()
