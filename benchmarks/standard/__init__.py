"""The standard methods of the field beside BenchMARL's, on the same scenarios.

`tasks` is the table of scenarios, methods and the parameters of both sides; `ours` and `peer` carry
out one run each, in a process of its own; `runs` carries out what is missing; `report` writes the
page. Results are cached as one JSON file a run.
"""
