"""In-memory ports with real offset semantics: they behave like the real parts where it matters, and ship with the package."""
