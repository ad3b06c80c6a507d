"""Looking at a data set before a network does: what is in it, and what is wrong."""
