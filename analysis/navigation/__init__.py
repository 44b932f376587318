"""Records of safe navigation games, control step by control step."""
