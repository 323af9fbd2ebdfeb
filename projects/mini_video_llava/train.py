"""Train the miniature Video-LLaVA from scratch.

From the root of the repository::

    python -m projects.mini_video_llava.train

Stage *see* teaches the tower alone where both shapes are; stage *talk* trains everything on questions about clips.
Counts of steps and the seed are fixed; an interrupted run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .auxiliary import SeeingHead, TalkingHead, block_causal, prefix_attention
from .export import command, export
from .model import FRAMES, TOKENS_PER_FRAME, build_config, build_tokenizer
from .questions import KINDS, Packer, all_texts
from .stream import Stream, to_pixels
from .training import Progress, add_options, learning_rate, read_checkpoint, write_checkpoint

SEE_WEIGHTS = {'place': 1.0, 'heat': 0.5, 'color': 0.1, 'shape': 0.1}
TALK_WEIGHTS = {'mean': 1.5, 'motion': 1.0, 'actor': 0.2, 'word': 1.0, 'name': 1.0}


def parse_args() -> argparse.Namespace:
    """Command line; with ``--threads 1`` the defaults are what made the weights in the repository."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--see-steps', type=int, default=1500, help='steps of the tower alone')
    parser.add_argument('--talk-steps', type=int, default=900, help='steps on questions')
    parser.add_argument(
        '--clips', type=int, default=16, help='clips a step; twice as many in the first stage, of 4 frames each'
    )
    parser.add_argument(
        '--primitive-weight',
        type=float,
        default=0.0,
        help='of naming what happens frame by frame; 0.5 makes visual tokens that leave few-shot methods nothing to do',
    )
    add_options(parser, Path(__file__).parent, threads=2)
    return parser.parse_args()


class Trainer:
    """Holds model, training heads, optimiser and position in the schedule; all of it goes into a checkpoint."""

    def __init__(self, args: argparse.Namespace) -> None:
        from transformers import AttentionInterface, VideoLlavaForConditionalGeneration
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

        torch.manual_seed(args.seed)
        self.args = args
        self.tokenizer = build_tokenizer(all_texts())
        config = build_config(self.tokenizer)
        self.model = VideoLlavaForConditionalGeneration(config).to(args.device)
        AttentionInterface.register('prefix', prefix_attention(len(Packer(self.tokenizer).prefix)))
        AttentionMaskInterface.register('prefix', ALL_MASK_ATTENTION_FUNCTIONS['sdpa'])
        self.model.model.language_model.config._attn_implementation = 'prefix'
        self.model.model.video_tower.config._attn_implementation = 'eager'  # 17 tokens: fused kernels cost more
        self.model.model.image_tower = nn.Identity()  # the video tower stands in for it when the model is saved
        self.seeing = SeeingHead(config.vision_config.hidden_size).to(args.device)
        self.talking = TalkingHead(config.text_config.hidden_size).to(args.device)
        self.parts = nn.ModuleDict({'model': self.model, 'seeing': self.seeing, 'talking': self.talking})
        self.file = args.work_dir / 'last.pt'
        self.stage, self.step = 'see', 0
        self.seconds = 0.0

    # -- forward -------------------------------------------------------------------------------------------------------
    def see(self, frames: Tensor) -> Tensor:
        """Tower tokens ``[V, T, 1 + P, D]`` of normalised frames."""
        outputs = self.model.model.video_tower(rearrange(frames, 'v t c h w -> (v t) c h w'), output_hidden_states=True)
        return rearrange(outputs.hidden_states[-1], '(v t) p d -> v t p d', t=frames.shape[1])

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss and everything worth a look."""
        tokens = self.see(to_pixels(batch['frames'].numpy()).to(self.args.device))
        batch = {k: v.to(self.args.device) for k, v in batch.items() if k != 'frames'}
        seen = self.seeing(tokens, batch)
        total = sum(weight * seen[name] for name, weight in SEE_WEIGHTS.items())
        if self.stage == 'see':
            return total, seen
        told = self.talk(tokens, batch)
        told |= seen
        weights = TALK_WEIGHTS | {'primitive': self.args.primitive_weight}
        return 1.5 * total + told['answer'] + sum(weight * told[name] for name, weight in weights.items()), told

    def talk(self, tokens: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses and accuracies of the decoder on packed questions."""
        core = self.model.model
        start = self.stream.packer.video_start
        video = slice(start, start + FRAMES * TOKENS_PER_FRAME)
        embeds = core.language_model.embed_tokens(batch['ids'])
        features = core.multi_modal_projector(tokens.flatten(1, 2)).to(embeds.dtype)
        embeds = torch.cat([embeds[:, : video.start], features, embeds[:, video.stop :]], dim=1)
        dtype = torch.bfloat16 if torch.is_autocast_enabled(self.args.device) else embeds.dtype
        outputs = core.language_model(
            inputs_embeds=embeds,
            attention_mask=block_causal(batch['segments'], dtype),
            position_ids=batch['positions'],
            use_cache=False,
            output_hidden_states=True,
        )
        told = self.talking(outputs.hidden_states, video, batch)
        clip, at = (batch['weights'] > 0).nonzero(as_tuple=True)
        logits = self.model.lm_head(outputs.last_hidden_state[clip, at - 1]).float()
        weights, target = batch['weights'][clip, at], batch['ids'][clip, at]
        told['answer'] = (F.cross_entropy(logits, target, reduction='none') * weights).sum() / weights.sum()
        return told | self.answered(
            logits.argmax(-1) == target, clip, batch['segments'][clip, at], batch['kinds'][clip, at]
        )

    @staticmethod
    def answered(right: Tensor, clip: Tensor, segment: Tensor, kind: Tensor) -> dict[str, Tensor]:
        """Share of answers of which every token is right, given the ones before it, by kind of question."""
        group = clip * 16 + segment
        wrong = torch.zeros(int(group.max()) + 1).index_add_(0, group.cpu(), (~right).float().cpu())
        count = torch.zeros_like(wrong).index_add_(0, group.cpu(), torch.ones(len(group)))
        kinds = torch.full_like(wrong, -1).scatter_(0, group.cpu(), kind.float().cpu())
        return {
            f'acc_{name}': (wrong[(kinds == k) & (count > 0)] == 0).float().mean()
            for k, name in enumerate(KINDS)
            if (kinds == k).any()
        }

    # -- schedule ------------------------------------------------------------------------------------------------------
    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW over what the stage trains; the tower moves slowly once it sees."""
        tower = list(self.model.model.video_tower.parameters()) + list(self.seeing.parameters())
        if self.stage == 'see':
            groups = [{'params': tower, 'scale': 1.0}]
        else:
            known = {id(p) for p in tower}
            rest = [p for p in self.parts.parameters() if id(p) not in known]
            groups = [{'params': tower, 'scale': 0.5}, {'params': rest, 'scale': 1.0}]
        return torch.optim.AdamW(groups, lr=self.args.lr, betas=(0.9, 0.98), weight_decay=0.02)

    def run(self, stage: str, steps: int) -> None:
        """Train one stage from wherever the last checkpoint left it."""
        if (self.stage, stage) == ('talk', 'see'):
            return
        if self.stage != stage:
            self.stage, self.step = stage, 0
        tokenizer = self.tokenizer if stage == 'talk' else None
        clips = self.args.clips * (2 if stage == 'see' else 1)  # of 4 frames each, against 8
        self.stream = Stream(stage, steps, clips=clips, seed=self.args.seed, tokenizer=tokenizer)
        self.opt = self.optimizer()
        if getattr(self, 'opt_state', None) is not None and self.step:
            scales = [group['scale'] for group in self.opt.param_groups]
            self.opt.load_state_dict(self.opt_state)
            for group, scale in zip(self.opt.param_groups, scales):
                group['scale'] = scale
        self.opt_state, progress = None, Progress()
        parameters = [p for group in self.opt.param_groups for p in group['params']]
        for batch in self.stream.loader(self.step):
            for group in self.opt.param_groups:
                group['lr'] = learning_rate(self.args.lr, self.step, steps) * group['scale']
            with torch.autocast(self.args.device, torch.bfloat16):
                loss, told = self.losses(batch)
            self.opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            self.opt.step()
            self.step += 1
            progress.add({'loss': loss, **told})
            if self.step % self.args.log_every == 0 or self.step == steps:
                self.seconds += progress.report(f'{stage} {self.step}/{steps}')
            if self.step % self.args.save_every == 0 or self.step == steps:
                self.save()

    # -- checkpoints ---------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Write a checkpoint."""
        state = {
            'parts': self.parts.state_dict(),
            'opt': self.opt.state_dict(),
            'stage': self.stage,
            'step': self.step,
            'seconds': self.seconds,
        }
        write_checkpoint(self.file, state)

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        if state := read_checkpoint(self.file, self.args.device):
            self.parts.load_state_dict(state['parts'])
            self.opt_state = state['opt']
            self.stage, self.step, self.seconds = state['stage'], state['step'], state['seconds']
            print(f'resumed at {self.stage} {self.step}', flush=True)


def main() -> None:
    """Run both stages and save the model."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    count = sum(p.numel() for p in trainer.model.parameters())
    print(f'{count / 1e6:.2f} M parameters, {len(trainer.tokenizer)} words', flush=True)
    trainer.resume()
    trainer.run('see', args.see_steps)
    trainer.run('talk', args.talk_steps)
    # the same command run again goes on here, and only saves
    record = {
        'command': command('projects.mini_video_llava.train'),
        'seed': args.seed,
        'see_steps': args.see_steps,
        'talk_steps': args.talk_steps,
        'clips': args.clips,
        'lr': args.lr,
        'primitive_weight': args.primitive_weight,
        'steps_done': trainer.step,
        'seconds': round(trainer.seconds),
    }
    print(f'saved {export(trainer.model, trainer.tokenizer, args.out, record)}', flush=True)


if __name__ == '__main__':
    main()
