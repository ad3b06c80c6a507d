"""What other implementations call our variables, and how they lay them out."""
