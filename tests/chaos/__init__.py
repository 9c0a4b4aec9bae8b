"""The fault harness: real parts, seeded faults, and a verifier that counts what was lost, doubled or changed."""
