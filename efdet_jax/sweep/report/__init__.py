"""From the results of trials to curves, tables and pages."""
