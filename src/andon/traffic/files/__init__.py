"""Files of traffic: JSON lines, JSON, CSV, Parquet, exports of others, and a folder that is watched for them.

In: a path. Out: interactions, feedback, spans and log records, row by row, and a `BadRow` for each row that cannot be read.
Always true: memory is bounded, however large a file or a line is; one bad row costs itself.
"""

from andon.traffic.files.inbox import Imported, Seen, ready_files, scan
from andon.traffic.files.kinds import Record, table_of, traffic_in
from andon.traffic.files.reading import check_file, lines_of, read_feedback, read_interactions, read_traffic

__all__ = [
    "Imported",
    "Record",
    "Seen",
    "check_file",
    "lines_of",
    "read_feedback",
    "read_interactions",
    "read_traffic",
    "ready_files",
    "scan",
    "table_of",
    "traffic_in",
]
