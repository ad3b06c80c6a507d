"""Reading images and boxes: sources, transforms and the input pipeline."""
