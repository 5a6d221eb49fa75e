"""How numbers are measured."""

from pocketvision.tasks.measuring import Measuring
from pocketvision.tasks.number.answer import Number
from pocketvision.tasks.number.comparison import compare
from pocketvision.tasks.number.metrics import check_options, kept_share, measure
from pocketvision.tasks.number.mistakes import mistakes
from pocketvision.tasks.number.record import NumberRecord, record

MEASURING = Measuring[Number, NumberRecord](
    record=record, check=check_options, measure=measure, compare=compare, mistakes=mistakes, headline_of=kept_share
)
