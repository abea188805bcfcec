"""In the environment of semhash: near-duplicates of a file of vectors, as its documentation says to find them."""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from semhash import SemHash


class Known:
    """Stands for the encoder that made the vectors: semhash asks for one and is given vectors."""

    def encode(self, inputs: list[str], **_: object) -> np.ndarray:
        """Nothing is encoded here."""
        raise NotImplementedError


def main(vectors: str, texts: str, threshold: str) -> None:
    """Build its index and remove near-duplicates."""
    rows, lines = np.load(vectors), json.loads(Path(texts).read_text(encoding="utf-8"))
    begun, busy = time.perf_counter(), time.process_time()
    index = SemHash.from_embeddings(embeddings=rows, records=lines, model=Known())
    found = index.self_deduplicate(threshold=float(threshold))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
    kept = len(found.selected)
    print(
        json.dumps(
            {"s": seconds, "cpu_s": cpu, "kept": kept, "removed": len(lines) - kept, "version": version("semhash")}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
