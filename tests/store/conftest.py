import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest
from object_store import BUCKET, ObjectStore, missing, running


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """An object store of our own."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with running(port) as started:
        yield started


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty path in a bucket, whose credentials are in the environment."""
    for name, value in object_store.env.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid4().hex}"
