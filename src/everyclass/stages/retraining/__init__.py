"""From features to a head: objectives, solvers, and what a head does on images it has not seen."""
