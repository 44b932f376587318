"""The batched runner, modules and learners that plug into RLlib's new API stack."""
