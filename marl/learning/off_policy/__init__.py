"""Methods that learn from remembered play: of values, of deterministic and of soft policies."""
