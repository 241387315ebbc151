"""RIDE distilled: three experts that also follow the mean of a teacher's six.

Wang et al. 2021. The published loop adds the whole loss once per expert, which multiplies the
learning rate by their number, and leaves the teacher in training mode, so that its statistics
drift; here the loss is added once and the teacher is in eval mode. Distillation at temperature 1.5
with weight 1, and the longer warm-up of the published configuration, 20 epochs, although the loss
that asked for it is a third of what it was.
"""

from dataclasses import replace

from everyclass.methods.ride import RECIPE as RIDE
from everyclass.methods.ride_6 import RECIPE as TEACHER

RECIPE = replace(
    RIDE,
    name="ride-distilled",
    summary="three experts, distilled from six",
    teachers=(TEACHER,),
    schedule=replace(RIDE.schedule, warmup_epochs=20),
)
