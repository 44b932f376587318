"""Machines that are set up for items, and the instances that were published."""
