"""How tags are measured."""

from functools import partial

from pocketvision.tasks.measuring import Deciding, Measuring, kept_headline
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.tags.choosing import choose_thresholds, decide, points
from pocketvision.tasks.tags.comparison import compare
from pocketvision.tasks.tags.metrics import HEADLINE, check_options, measure
from pocketvision.tasks.tags.mistakes import mistakes
from pocketvision.tasks.tags.record import TagRecord, record

MEASURING = Measuring[Tags, TagRecord](
    record=record,
    check=check_options,
    measure=measure,
    compare=compare,
    mistakes=mistakes,
    headline_of=partial(kept_headline, name=HEADLINE),
    deciding=Deciding(choose_thresholds, decide, points, "each tag from one half on", abstains=False),
)
