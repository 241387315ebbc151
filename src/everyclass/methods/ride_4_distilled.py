"""RIDE distilled with four experts from six, the largest network of the published table.

Everything else is as with three students; see ride-distilled.
"""

from dataclasses import replace

from everyclass.methods.ride_distilled import RECIPE as DISTILLED

RECIPE = replace(
    DISTILLED,
    name="ride-4-distilled",
    summary="four experts, distilled from six",
    backbone="resnet32-4-experts",
    head="4-experts",
)
