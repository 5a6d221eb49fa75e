"""The table of heads. A new one is a file and a row here, or a row of an installed package (plugins.py)."""

from pocketvision.errors import UsageError
from pocketvision.models.heads.classification import linear as classification
from pocketvision.models.heads.classification import mean as mean_of_classifiers
from pocketvision.models.heads.detection import (
    detr,
    efficientdet,
    faster_rcnn,
    fcos,
    grid,
    retinanet,
    ssd,
    ssd300,
    yolo_v1,
)
from pocketvision.models.heads.head import Head
from pocketvision.models.heads.mean import MeanRow
from pocketvision.models.heads.number import linear as number
from pocketvision.models.heads.number import mean as mean_of_numbers
from pocketvision.models.heads.segmentation import deeplab, fcn, lr_aspp, plain_u_net, u_net
from pocketvision.models.heads.segmentation import mean as mean_of_masks
from pocketvision.models.heads.tags import linear as tags
from pocketvision.models.heads.tags import mean as mean_of_tags
from pocketvision.plugins import row_named

HEADS: dict[str, Head] = {
    row.name: row
    for row in (
        *(row for kind in (classification, tags, number) for row in (kind.ROW, kind.MULTISCALE)),
        classification.GRID,
        *grid.ROWS,
        ssd.LITE,
        ssd.LITE_COCO,
        ssd.LITE_TENSORFLOW,
        ssd.PAPER,
        ssd300.PAPER,
        ssd300.COCO,
        yolo_v1.ROW,
        *efficientdet.ROWS,
        *detr.ROWS,
        *retinanet.ROWS,
        fcos.ROW,
        *faster_rcnn.ROWS,
        u_net.ROW,
        u_net.TRANSPOSED,
        lr_aspp.ROW,
        deeplab.ROW,
        deeplab.TORCHVISION,
        deeplab.PLUS,
        fcn.ROW,
        plain_u_net.SMALL,
        plain_u_net.PAPER,
        *(each.ROW for each in (mean_of_classifiers, mean_of_tags, mean_of_numbers, mean_of_masks)),
    )
}
MEANS: dict[str, MeanRow] = {
    each.ROW.kind: each.MEAN for each in (mean_of_classifiers, mean_of_tags, mean_of_numbers, mean_of_masks)
}
"""From a kind of task to how several networks' heads become one. Boxes have none: a cell may stand for another object in each."""
GROUP = "pocketvision.heads"
"""The entry points of heads from outside."""


def head_named(name: str) -> Head:
    """The row called `name`. Raises UsageError for a name that neither the table nor an installed package has."""
    row = row_named(HEADS, name, group=GROUP, what="head")
    if not isinstance(row, Head):
        raise UsageError(f"The head {name} of an installed package is a {type(row).__name__}; expected a Head.")
    return row
