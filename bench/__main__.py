"""Run one area of the bench, or all: `python -m bench [AREA]`.

Each figure is one JSON line on stdout; progress and reasons go to stderr. Floors and peers are measured in the same run
on the same machine, so a ratio means something even where the absolute figure does not. Peers live in environments of
their own under bench/.envs/, made when they are first needed.
"""

import sys
from importlib import import_module

AREAS = (
    "ingest",
    "store",
    "detection",
    "scores",
    "client",
    "incidents",
    "golden",
    "levers",
    "rollouts",
    "web",
    "scale",
    "faults",
)


def main(words: list[str]) -> int:
    """Run the areas that are named, all of them when none is."""
    unknown = [word for word in words if word not in AREAS]
    if unknown:
        print(f"there is no area {unknown[0]!r}; the areas are {', '.join(AREAS)}", file=sys.stderr)
        return 2
    for area in words or AREAS:
        print(f"==> {area}", file=sys.stderr)
        import_module(f"bench.{area}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
