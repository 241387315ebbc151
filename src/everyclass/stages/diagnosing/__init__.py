"""From predictions and features to causes: nearest classes, and what a new head would reach."""
