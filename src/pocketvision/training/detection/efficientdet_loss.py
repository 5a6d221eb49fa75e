"""EfficientDet's loss (Tan, Pang & Le, 2020, https://arxiv.org/abs/1911.09070, section 5, and its authors' code): the focal loss
of scores (Lin et al., 2017, https://arxiv.org/abs/1708.02002, equation 5) and Huber's of offsets."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.heads.detection.efficientdet import VARIANCES
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.ssd_loss import LEFT_OUT, corners_of, matched, offsets_of

ALPHA, GAMMA = 0.25, 1.5
"""Of the focal loss: what a yes counts beside a no's 1 - ALPHA, and how little counts what is nearly right."""

DELTA = 0.1
"""Up to this far from the right offset Huber's loss is squared, and linear beyond."""

PLACE_WEIGHT = 50.0
"""Of the mean over an anchor's four offsets."""


def efficientdet_loss(outputs: Mapping[str, Tensor], truths: Sequence[BoxLabels]) -> dict[str, Tensor]:
    """`class` and `place`, as their sums over the batch by one more than the number of anchors that answer for an object.

    outputs: what the head gives to learn from. truths: the objects of each image, in the input's pixels (BoxLabels.through).
    Anchors answer as SSD's default boxes do: for what they overlap by half, and each object has its best one.
    """
    anchors, logits = outputs["anchors"][0], outputs["anchor_logits"].float()
    offsets, corners = outputs["anchor_offsets"].float(), corners_of(anchors)
    answers = torch.from_numpy(np.stack([matched(corners, each) for each in truths])).to(anchors.device)
    asked, place = torch.zeros_like(logits), logits.new_zeros(())
    for image, (own, truth) in enumerate(zip(answers, truths, strict=True)):
        positive = torch.nonzero(own >= 0)[:, 0]
        objects = own[positive].cpu().numpy()
        asked[image, positive, torch.from_numpy(truth.classes[objects].astype(np.int64)).to(positive.device)] = 1
        wanted = offsets_of(torch.from_numpy(truth.boxes[objects]).to(anchors), anchors[positive], VARIANCES)
        place = place + F.huber_loss(offsets[image, positive], wanted, reduction="sum", delta=DELTA)
    losses = focal_losses(logits, asked) * (answers != LEFT_OUT)[..., None]
    count = int((answers >= 0).sum()) + 1
    return {"class": losses.sum() / count, "place": PLACE_WEIGHT * place / (4 * count)}


def focal_losses(logits: Tensor, asked: Tensor) -> Tensor:
    """Of any shape, elementwise and in nats. asked: 1 for yes, 0 for no."""
    wrong = torch.sigmoid(torch.where(asked == 1, -logits, logits))
    share = torch.where(asked == 1, ALPHA, 1 - ALPHA)
    return share * wrong**GAMMA * F.binary_cross_entropy_with_logits(logits, asked, reduction="none")
