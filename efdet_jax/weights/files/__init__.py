"""Weight files of every container, as named arrays."""
