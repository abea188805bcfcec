"""Feed damaged requests to the OTLP decoder for a while: `make fuzz seconds=60`.

Coverage-guided (atheris, libFuzzer), from a corpus of real requests where there are any. Any exception but `InputError`, any
row that does not fit the schema, and any hang is a failure; the input that caused it is kept in the folder it names.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["andon.traffic"]):
    from andon.errors import InputError
    from andon.traffic.otlp import logs_of, points_of, traces_of
    from andon.traffic.rows import SCHEMAS, spans_from_rows

ROOT = Path(__file__).resolve().parents[1]
FORMS = ("protobuf", "json")


def one(data: bytes) -> None:
    """Decode one input in every way."""
    if not data:
        return
    form, body = FORMS[data[0] & 1], data[1:]
    try:
        if data[0] & 6 == 2:
            logs_of(body, form, now_us=1_790_000_000_000_000)
        elif data[0] & 6 == 4:
            points_of(body, form)
        else:
            rows, _ = traces_of(body, form)
            assert rows.schema == SCHEMAS["spans"]
            spans_from_rows(rows)
    except InputError:
        return


def seeds(folder: Path) -> None:
    """A corpus: a hand-made request, and those of the shared samples where they are present."""
    tiny = bytes.fromhex(
        "0a2e122c122a0a10"
        + "01" * 16
        + "1208"
        + "02" * 8
        + "39"
        + "0000c16ff28623"
        + "18"
        + "41"
        + "0000c16ff28623"
        + "18"
    )
    (folder / "tiny").write_bytes(b"\x00" + tiny)
    (folder / "json").write_bytes(b'\x01{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01","name":"x"}]}]}]}')
    for number, path in enumerate(sorted((ROOT.parent / "shared" / "data" / "otlp-samples" / "protobuf").glob("*.pb"))):
        kind = 2 if ".logs." in path.name else 4 if ".metrics" in path.name else 0
        (folder / f"sample{number}").write_bytes(bytes([kind]) + path.read_bytes())


if __name__ == "__main__":
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    corpus = Path(tempfile.mkdtemp(prefix="andon-fuzz-"))
    seeds(corpus)
    print(f"inputs that fail are kept in {corpus}", file=sys.stderr)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={corpus}/",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=4096",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], one)
    atheris.Fuzz()
