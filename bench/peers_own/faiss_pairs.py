"""In the environment of faiss: all pairs of a file of vectors above a cosine, by an exact flat index."""

import json
import os
import sys
import time

import faiss
import numpy as np

AT_ONCE = 4096


def main(vectors: str, threshold: str) -> None:
    """Range search of every row in all rows, in blocks that keep memory small; each pair counts once."""
    rows = np.load(vectors)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    begun, busy = time.perf_counter(), time.process_time()
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    pairs = 0
    for top in range(0, len(rows), AT_ONCE):
        limits, _, found = index.range_search(rows[top : top + AT_ONCE], float(threshold))
        asked = np.repeat(np.arange(top, top + len(limits) - 1), np.diff(limits).astype(np.int64))
        pairs += int((asked < found).sum())
    print(
        json.dumps(
            {
                "s": time.perf_counter() - begun,
                "cpu_s": time.process_time() - busy,
                "pairs": pairs,
                "version": faiss.__version__,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
