"""EfficientDet-Lite out of a .tflite file."""
