"""One target under atheris: `python -m tests.fuzz.guided NAME [CORPUS ...] [libFuzzer's options]`.

msgspec, pydantic and tokenizers are C and Rust, which atheris does not see into; our Python around them guides it.
"""

import sys

import atheris  # type: ignore[import-untyped]


def main() -> None:
    """Instrument our code, then fuzz the target; does not return."""
    with atheris.instrument_imports(include=["worker", "deploy.local.triton_backend", "yaml"]):
        from tests.fuzz import targets  # noqa: PLC0415 - what is imported within is instrumented
    target = {**targets.TARGETS, "planted": targets.planted}[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
