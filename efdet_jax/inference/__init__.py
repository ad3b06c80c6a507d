"""From a run or a file of weights to what it finds in images that nobody annotated."""
