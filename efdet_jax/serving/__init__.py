"""A page on this machine where people try detectors on images of their own."""
