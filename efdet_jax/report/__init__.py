"""What came of one run, on one page."""
