"""Where trials run. A launcher starts a command and says which still are with it."""
