"""RIDE with two experts.

Everything else is as with three: the shared first stage, the narrower experts, loss and schedule;
see ride.
"""

from dataclasses import replace

from everyclass.methods.ride import RECIPE as RIDE

RECIPE = replace(
    RIDE,
    name="ride-2",
    summary="two experts that differ from each other",
    backbone="resnet32-2-experts",
    head="2-experts",
)
