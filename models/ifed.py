"""IFED (Zhong et al., ECCV 2022): the generator with T frames, at fixed instants."""

from collections.abc import Iterator

import torch

from data.time_maps import offset_maps
from models.generator import Generator
from models.networks import fixed_instants, memory_factor
from models.parts.network import FrameBatch, Inference
from models.parts.padding import pad_to_multiple, repeat_last, unpad
from models.parts.settings import SIZE_MULTIPLE
from models.parts.tiles import tiles_of


class IFED(Generator):
    """Supervised predecessor of SelfDRSC, weight for weight its `Generator`.

    One pass makes T frames at 0, 1 / (T - 1), ..., 1, with T = 1 at 0.5. Every instant has channels
    of its own, so frames at other instants cannot be asked for.
    """

    net_type = "ifed"

    @property
    def instants(self) -> tuple[float, ...]:
        """The T instants."""
        return fixed_instants(self.num_frames)

    def infer(self, inference: Inference) -> Iterator[FrameBatch]:
        """Make the wanted ones of the T frames in one pass for each tile.

        As in the released test, rows below the image have the exposure time of the last row.

        Raises:
            InputError: an instant is wanted that the network was not trained on.
        """
        self.expect_instants(inference.times)
        chosen = [index for index, t in enumerate(self.instants) if t in inference.times]
        times = tuple(self.instants[index] for index in chosen)
        for tile in tiles_of(inference.size, inference.tile, self.tile_margin):
            rows, columns = tile.seen_slices
            part = inference.pair[..., rows, columns]
            height, width = part.shape[-2:]
            padded = pad_to_multiple(part, SIZE_MULTIPLE)
            scan = repeat_last(inference.scan_time[None, rows], padded.shape[-2] - height, dim=-1)
            maps = offset_maps(scan, torch.tensor([self.instants], dtype=scan.dtype))
            maps = maps.to(padded.device, non_blocking=True)
            maps = maps.expand(-1, -1, -1, padded.shape[-1])
            made = self.decode(self.encode(padded[None]), maps, chosen)
            flows = made.flows[-1].unflatten(1, (2, self.num_frames, 2))[0, :, chosen]
            yield FrameBatch(
                times, unpad(made.frames[0], height, width), flows.transpose(0, 1), tile
            )

    def inference_bytes(
        self, size: tuple[int, int], frames: int, tile: int | None, batch_pixels: int
    ) -> float:
        """Estimate the memory of `infer`; see `CorrectionNetwork.inference_bytes`."""
        return super().inference_bytes(size, 1, tile, 0) * memory_factor(self.num_frames)
