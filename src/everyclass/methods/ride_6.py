"""RIDE with six experts: the teacher of the distilled ones.

Everything else is as with three: the shared first stage, the narrower experts, loss and schedule;
see ride.
"""

from dataclasses import replace

from everyclass.methods.ride import RECIPE as RIDE

RECIPE = replace(
    RIDE,
    name="ride-6",
    summary="six experts that differ from each other",
    backbone="resnet32-6-experts",
    head="6-experts",
)
