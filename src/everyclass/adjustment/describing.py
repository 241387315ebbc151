"""What an adjustment does, for a person."""

from __future__ import annotations

from everyclass.artifacts import Adjustment, some

__all__ = ["describe"]


def describe(adjustment: Adjustment) -> str:
    """Say in a few lines how an adjustment was found, what it gives and what it left alone.

    Args:
        adjustment: as :func:`everyclass.adjust` returns it.

    Example:
        >>> print(describe(Adjustment([1.0, 1.0], [0.0, 0.5])))
        A scale and a bias for each of 2 classes, found by hand.
    """
    notes = adjustment.notes
    if adjustment.method == "prior":
        shares = notes.get("prior", "balanced")
        of = "a uniform prior" if shares == "balanced" else "the prior that was given"
        if notes.get("estimated"):
            of = "a prior estimated from the samples to adjust"
        known = "temperature" in notes  # not of one that was made by hand
        temperature = f"; temperature {notes['temperature']:.2f}" if known else ""
        return f"Calibrated probabilities under {of}{temperature}."
    if "tried" not in notes:
        return (
            f"A scale and a bias for each of {adjustment.num_classes} classes, found "
            f"{adjustment.method}."
        )
    objective = notes["objective"].replace("_", " ")
    numbers = f"{objective} {notes['before']:.1%} → {notes['after']:.1%}"
    judged = (
        f"on {notes['samples']:,} validation samples, each judged by what was chosen without it"
    )
    if adjustment.method == "none":
        lines = [f"No adjustment: nothing that was tried does better for certain ({judged})."]
    else:
        lines = [f"{adjustment.method}: {numbers}, {judged}; certain to {notes['certain']:.0%}."]
    tried = [f"{name} {value:.1%}" for name, value in notes["tried"].items()]
    by = notes.get("chosen_by", notes["objective"]).replace("_", " ")
    lines.append(f"Tried, by {by}: {', '.join(tried)}.")
    if notes["left_alone"]:
        names = adjustment.class_names
        alone = [names[c] if names else str(c) for c in notes["left_alone"]]
        lines.append(
            f"Too few validation samples for a bias of their own ({len(alone)}): {some(alone)}."
        )
    return "\n".join(lines)
