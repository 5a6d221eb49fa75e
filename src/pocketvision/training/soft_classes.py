"""How far class scores are from another network's, softened (Hinton et al. 2015, section 2, https://arxiv.org/abs/1503.02531)."""

from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 2.0


def divergence(logits: Tensor, taught: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Kullback-Leibler divergence at a temperature of (N, classes, …), the mean over images and pixels; times the temperature's
    square, which keeps the gradients' size."""
    own, other = (each / temperature for each in (logits, taught))
    apart = F.kl_div(own.log_softmax(1), other.log_softmax(1), reduction="none", log_target=True)
    return temperature**2 * apart.sum(1).mean()
