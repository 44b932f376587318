"""What tests share: games of their own, oracles, and how the command is called."""
