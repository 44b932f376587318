"""Scenarios of kind `play`: rules, planners and policies in the same games; `schelling play`."""
