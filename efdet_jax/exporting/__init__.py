"""Detectors as files for other programs, each run again and compared with the model."""
