"""In gbstats' environment: its two-sided t tests, one look and sequential, on summary statistics.

The folder holds `rows.npz`: n, mean and variance of control and treatment, shape (rows, 6).
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic
from gbstats.utils import check_srm


def statistic(n: float, mean: float, variance: float) -> SampleMeanStatistic:
    """The sums that it takes."""
    return SampleMeanStatistic(n=round(n), sum=mean * n, sum_squares=(n - 1) * variance + mean * mean * n)


def main(folder: str) -> None:
    """Test every row: estimate, low, high and p; absolute, relative, sequential; and the ratio of the samples."""
    warnings.simplefilter("ignore")
    data = np.load(Path(folder) / "rows.npz")
    tuning = float(data["tuning"])
    found: dict[str, list[list[float]]] = {"absolute": [], "relative": [], "sequential": [], "ratio": []}
    for row in data["rows"]:
        arms = statistic(*row[:3]), statistic(*row[3:])
        tests = {
            "absolute": TwoSidedTTest(*arms, FrequentistConfig(difference_type="absolute")),
            "relative": TwoSidedTTest(*arms, FrequentistConfig(difference_type="relative")),
            "sequential": SequentialTwoSidedTTest(
                *arms, SequentialConfig(difference_type="absolute", sequential_tuning_parameter=tuning)
            ),
        }
        for name, test in tests.items():
            result = test.compute_result()
            found[name].append([float(x) for x in (result.expected, *result.ci, result.p_value)])
        found["ratio"].append([float(check_srm([row[0], row[3]], [0.5, 0.5]))])
    print(json.dumps({"version": version("gbstats"), **found}))


if __name__ == "__main__":
    main(sys.argv[1])
