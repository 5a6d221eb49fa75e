"""How numbers are measured."""

from functools import partial

from pocketvision.tasks.measuring import Measuring, kept_headline
from pocketvision.tasks.number.answer import Number
from pocketvision.tasks.number.comparison import compare
from pocketvision.tasks.number.metrics import HEADLINE, check_options, measure
from pocketvision.tasks.number.mistakes import mistakes
from pocketvision.tasks.number.record import NumberRecord, record

MEASURING = Measuring[Number, NumberRecord](
    record=record,
    check=check_options,
    measure=measure,
    compare=compare,
    mistakes=mistakes,
    headline_of=partial(kept_headline, name=HEADLINE),
)
