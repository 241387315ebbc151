"""`everyclass plan`: how many test images it takes."""

from __future__ import annotations

from typing import Annotated

import typer

from everyclass.cli.options import Confidence, Json
from everyclass.cli.printing import print_json, say

__all__ = ["plan"]

RECALLS = (0.5, 0.8, 0.9, 0.95)
HALF_WIDTHS = (0.15, 0.10, 0.05, 0.03)
CHANGES = ((0.30, 0.05), (0.20, 0.05), (0.10, 0.02), (0.10, 0.05), (0.05, 0.02))


def plan(
    recall: Annotated[
        float | None, typer.Option(help="Recall to expect, 0..1; with --lift, of the old one.")
    ] = None,
    half_width: Annotated[
        float | None, typer.Option(help="Interval of ± this much, such as 0.05.")
    ] = None,
    lift: Annotated[float | None, typer.Option(help="Change to be seen, such as 0.1.")] = None,
    broken: Annotated[
        float | None,
        typer.Option(
            help="Share of images right before and wrong after; default: independent errors."
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="Probability of seeing the lift.")] = 0.8,
    classes: Annotated[int, typer.Option(help="Classes that are tested at once.")] = 1,
    confidence: Confidence = 0.95,
    json: Json = False,
) -> None:
    """Say how many test images of a class are needed; without options, a table.

    Example: everyclass plan --recall 0.8 --half-width 0.05

    Example: everyclass plan --recall 0.6 --lift 0.1 --broken 0.02 --classes 100
    """
    from everyclass.errors import InputError
    from everyclass.metrics import samples_needed

    if recall is None and half_width is None and lift is None:
        if broken is not None:
            raise InputError(
                "--broken goes with --recall and --lift; the table has shares of its own."
            )
        rows = _table(power, confidence, classes)
        if json:
            print_json(rows)
        else:
            say(_text(rows, power, confidence, classes))
        return
    if recall is None:
        raise InputError("plan needs --recall with --half-width or --lift; say what you expect.")
    images = samples_needed(
        recall=recall,
        half_width=half_width,
        lift=lift,
        broken=broken,
        power=power,
        confidence=confidence,
        classes=classes,
    )
    if json:
        print_json({"images": images})
    elif half_width is not None:
        say(
            f"{images:,} test images of the class: ± {100 * half_width:g} points at recall "
            f"{100 * recall:g} % ({100 * confidence:g} % interval)"
        )
    else:
        say(
            f"{images:,} test images of the class: a change of {100 * (lift or 0):+g} points "
            f"is seen with probability {power:g} ({100 * confidence:g} % level, "
            f"{_tested(classes)})"
        )


def _table(power: float, confidence: float, classes: int) -> dict[str, list[dict[str, float]]]:
    from everyclass.metrics import samples_needed

    return {
        "half_widths": [
            {
                "recall": r,
                "half_width": h,
                "images": samples_needed(recall=r, half_width=h, confidence=confidence),
            }
            for r in RECALLS
            for h in HALF_WIDTHS
        ],
        "lifts": [
            {
                "fixed": fixed,
                "broken": broken,
                "images": samples_needed(
                    recall=0.5,
                    lift=fixed - broken,
                    broken=broken,
                    power=power,
                    confidence=confidence,
                    classes=classes,
                ),
            }
            for fixed, broken in CHANGES
        ],
    }


def _text(
    rows: dict[str, list[dict[str, float]]], power: float, confidence: float, classes: int
) -> str:
    images = {(r["recall"], r["half_width"]): r["images"] for r in rows["half_widths"]}
    lines = [f"Test images of a class for a {100 * confidence:g} % interval of ± so many points:"]
    lines.append("recall" + "".join(f"{100 * h:>9g}" for h in HALF_WIDTHS))
    lines += [
        f"{100 * r:>5g}%" + "".join(f"{images[r, h]:>9,}" for h in HALF_WIDTHS) for r in RECALLS
    ]
    lines += ["", f"… to see a change with probability {power:g}, {_tested(classes)}:"]
    lines += [
        f"{100 * r['fixed']:>3g} % fixed, {100 * r['broken']:g} % broken {r['images']:>9,}"
        for r in rows["lifts"]
    ]
    return "\n".join(lines)


def _tested(classes: int) -> str:
    return "one class tested" if classes == 1 else f"{classes:,} classes tested"
