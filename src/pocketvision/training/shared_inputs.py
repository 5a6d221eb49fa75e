"""What a training is fed, shared out over several processes: reading pictures, and building the trunk cache."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pocketvision.training.inputs import CachedInputs, Inputs, Names, Row
from pocketvision.training.processes import Processes
from pocketvision.training.trunk_runtime import RUNTIME_BATCH


def fill_shared(inputs: Inputs, names: Names, rows: Sequence[Row], processes: Processes) -> None:
    """Make sure that all rows are cached, each process computing a part of those that are missing.

    Parts are whole batches of the trunk, those that one process would make, so that every row has the same bits. Where the
    processes do not share a folder each computes what it does not find, when it reads it.
    """
    if processes.count == 1 or not isinstance(inputs, CachedInputs):
        return
    missing = processes.from_first(lambda: inputs.missing(names, rows))
    if missing:
        own = processes.share(-(-len(missing) // RUNTIME_BATCH))
        inputs.fill(names, missing[own.begin * RUNTIME_BATCH : own.end * RUNTIME_BATCH])
        processes.highest(torch.from_numpy(inputs.images.decoding))  # sizes of pictures that others have decoded
        inputs.look_again()


def shared_batches(
    inputs: Inputs, names: Names, batches: Sequence[Sequence[Row]], processes: Processes, *, whole: bool
) -> Iterator[dict[str, Tensor]]:
    """As Inputs.batches, all rows of each batch in every process. From the cache they are read; of pictures each process reads
    its own rows, and the others' are zeros unless `whole` asks for them."""
    if processes.count == 1 or isinstance(inputs, CachedInputs):
        fill_shared(inputs, names, [row for batch in batches for row in batch], processes)
        yield from inputs.batches(names, batches)
        return
    shares = [processes.share(len(batch)) for batch in batches]
    own = [batch[share.shown] for batch, share in zip(batches, shares, strict=True)]
    for share, features in zip(shares, inputs.batches(names, own), strict=True):
        made = {}
        for name, values in features.items():
            last = values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            placed = torch.zeros((share.total, *values.shape[1:]), dtype=values.dtype).contiguous(memory_format=layout)
            placed[share.begin : share.end] = values[: share.counted]
            if not share.counted:
                placed[:1] = values if not whole else 0
            made[name] = processes.total(placed) if whole else placed
        yield made
