"""Random changes of training images; pure functions of examples and a generator."""
