"""Methods that follow a simulator's own gradients: HDPO."""
