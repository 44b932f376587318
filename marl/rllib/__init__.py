"""Training through RLlib: batched env runners, modules and learners for its new API stack."""
