"""What is told to people: chapters and tables, as Markdown and as one HTML page."""
