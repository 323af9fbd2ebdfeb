"""Runs a frozen backbone over videos and stores its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .extraction_job import ExtractionJob, JobVideos
from .fingerprint import Fingerprint
from .token_writer import TokenWriter

MEMORY_SHARE = 0.7
MAX_BATCH = 64
CPU_BATCH = 8


class TokenExtractor:
    """Encodes each video once for all its prompts.

    Decoding (workers), the backbone (main thread) and writing (a thread) overlap.

    Args:
        backbone: Has ``encode(inputs, prompts) -> VideoTokens``, as :class:`VideoMLLMBackbone` has.
        data_preprocessor: Of the same config.
        writer: Takes the tokens.
        batch_size: Videos at a time; None: as many as the GPU's free memory holds, 8 on a CPU.
        num_workers: Processes that decode.
    """

    def __init__(
        self,
        backbone: nn.Module,
        data_preprocessor: nn.Module,
        writer: TokenWriter,
        *,
        batch_size: int | None = None,
        num_workers: int = 0,
    ) -> None:
        self.backbone, self.data_preprocessor, self.writer = backbone, data_preprocessor, writer
        self.batch_size = batch_size
        self.num_workers = num_workers

    def run(self, jobs: Sequence[ExtractionJob], advance: Callable[[int], None] = lambda count: None) -> dict[str, str]:
        """Extract the tokens of some videos.

        Args:
            jobs: The videos.
            advance: Called with the number of videos that were dealt with since the last call.

        Returns:
            Video -> error, of the videos that could not be loaded.

        Raises:
            OSError: If the tokens cannot be written.
        """
        failures: dict[str, str] = {}
        loader = self.loader(jobs, self.batch_size or self.find_batch_size(jobs))
        with self.writer, ThreadPoolExecutor(1) as thread:
            writing: Future | None = None
            for batch in loader:
                failures.update({jobs[number].video: error for number, *_, error in batch if error})
                loaded = [
                    (jobs[number], fingerprint, video) for number, fingerprint, video, error in batch if not error
                ]
                encoded = self._encode([job for job, *_ in loaded], [video for *_, video in loaded])
                if writing is not None:
                    writing.result()  # raises what went wrong, and bounds what waits to be written
                writing = thread.submit(self._write, [part[:2] for part in loaded], encoded)
                advance(len(batch))
            if writing is not None:
                writing.result()
        return failures

    def loader(self, jobs: Sequence[ExtractionJob], batch_size: int) -> DataLoader:
        """Loads the videos in worker processes."""
        return DataLoader(
            JobVideos(jobs),
            batch_size=batch_size,
            num_workers=self.num_workers,
            collate_fn=list,
            pin_memory=torch.cuda.is_available(),
        )

    def _write(
        self,
        videos: Sequence[tuple[ExtractionJob, Fingerprint]],
        encoded: Sequence[tuple[Tensor, dict[str, Tensor]]],
    ) -> None:
        for (job, fingerprint), (visual, textual) in zip(videos, encoded):
            self.writer.add(job.video, fingerprint, visual, textual)

    def _encode(self, jobs: Sequence[ExtractionJob], videos: Sequence[dict]) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Tokens of each video on the CPU; where a GPU's memory does not suffice, half of the videos at a time."""
        if not jobs:
            return []
        try:
            return self._encode_at_once(jobs, videos)
        except torch.OutOfMemoryError:
            if len(jobs) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(jobs) // 2
        return self._encode(jobs[:half], videos[:half]) + self._encode(jobs[half:], videos[half:])

    @torch.no_grad()
    def _encode_at_once(
        self, jobs: Sequence[ExtractionJob], videos: Sequence[dict]
    ) -> list[tuple[Tensor, dict[str, Tensor]]]:
        batch = {name: [video[name] for video in videos] for name in ('inputs', 'data_samples')}
        inputs = self.data_preprocessor(batch, False)['inputs']
        tokens = self.backbone.encode(inputs, [job.prompts for job in jobs])
        dtype = self.writer.dtype
        visual, textual = tokens.visual.to('cpu', dtype), tokens.textual.to('cpu', dtype)
        lengths = tokens.textual_mask.sum(-1).tolist()
        texts = iter([text[:length] for text, length in zip(textual, lengths)])
        return [(frames, {prompt: next(texts) for prompt in job.prompts}) for job, frames in zip(jobs, visual)]

    def find_batch_size(self, jobs: Sequence[ExtractionJob]) -> int:
        """As many videos as fit beside the model, found by running one and then two."""
        device = self.data_preprocessor.device
        if device.type != 'cuda':
            return CPU_BATCH
        item = next((item for item in JobVideos(jobs[:MAX_BATCH]) if item[2]), None)
        if item is None:
            return 1
        peaks = []
        for count in (1, 1, 2):  # the first loads the model
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            try:
                self._encode_at_once([jobs[item[0]]] * count, [dict(item[2]) for _ in range(count)])
            except torch.OutOfMemoryError:
                if count == 1:
                    raise
                return 1
            peaks.append(torch.cuda.max_memory_allocated(device))
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - peaks[1]
        return max(1, min(MAX_BATCH, int(MEMORY_SHARE * free / max(1, peaks[2] - peaks[1]))))
