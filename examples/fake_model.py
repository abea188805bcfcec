"""A model that needs no key and no network: an endpoint like OpenAI's with answers that anybody can predict.

It answers "You asked: ..." with the last question that it finds, counts words as tokens, and says that it is the model that
was asked for with "-2026-01-01" behind it, as providers resolve an alias. Given tools, it asks for the first of them, and
then answers with what the tool said. A model called "broken" fails.

    import fake_model
    fake_model.start()      # from here on the OpenAI SDK, LangChain and LlamaIndex of this process talk to it
"""

import itertools
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["start"]

Json = dict[str, Any]

_NUMBERS = itertools.count(1)


def start() -> str:
    """Serve on a free port of this machine until the process ends, and point the SDKs at it. Returns the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_BASE=url, OPENAI_API_KEY="none")
    return url


class _Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "broken":
            self._say(400, "application/json", b'{"error": {"message": "this model fails", "type": "invalid_request"}}')
        elif self.path.endswith("/embeddings"):
            self._json(_embeddings(asked))
        elif self.path.endswith("/responses"):
            self._json(_response(asked))
        elif asked.get("stream"):
            lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(asked)]
            self._say(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())
        else:
            self._json(_completion(asked))

    def log_message(self, *_: object) -> None:
        """Nothing: the example's own output is what should be seen."""

    def _json(self, content: Json) -> None:
        self._say(200, "application/json", json.dumps(content).encode())

    def _say(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _completion(asked: Json) -> Json:
    message = _message(asked)
    usage = {"prompt_tokens": _words(asked["messages"]), "completion_tokens": _words(message)}
    return {
        "id": f"chatcmpl-{next(_NUMBERS)}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": f"{asked['model']}-2026-01-01",
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop"}
        ],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


def _chunks(asked: Json) -> Iterator[Json]:
    """The completion word by word, and what it used where that is asked for."""
    whole = _completion(asked)
    [choice] = whole["choices"]
    usage, same = whole.pop("usage"), {**whole, "object": "chat.completion.chunk"}
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\S+\s*", choice["message"]["content"] or "")]
    deltas += [{"tool_calls": [{"index": 0, **call}]} for call in choice["message"].get("tool_calls", ())]
    for delta in deltas:
        yield {**same, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**same, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield {**same, "choices": [], "usage": usage}


def _response(asked: Json) -> Json:
    """The same through the Responses API."""
    said = asked["input"] if isinstance(asked["input"], list) else [{"role": "user", "content": asked["input"]}]
    text = f"You asked: {_question(said)}"
    return {
        "id": f"resp-{next(_NUMBERS)}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": f"{asked['model']}-2026-01-01",
        "output": [
            {
                "type": "message",
                "id": "msg-1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
        "usage": {
            "input_tokens": _words(asked["input"]),
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": _words(text),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": _words(asked["input"]) + _words(text),
        },
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _embeddings(asked: Json) -> Json:
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vectors = [[float(len(str(text))), 1.0, 0.0] for text in texts]
    return {
        "object": "list",
        "model": f"{asked['model']}-2026-01-01",
        "data": [{"object": "embedding", "index": k, "embedding": vector} for k, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": _words(texts), "total_tokens": _words(texts)},
    }


def _message(asked: Json) -> Json:
    last, question = asked["messages"][-1], _question(asked["messages"])
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"The tool says: {last['content']}"}
    if not asked.get("tools"):
        return {"role": "assistant", "content": f"You asked: {question}"}
    function = asked["tools"][0]["function"]
    arguments = json.dumps(dict.fromkeys(function["parameters"].get("properties", {}), question))
    call = {
        "id": f"call-{next(_NUMBERS)}",
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _question(messages: list[Json]) -> str:
    """The last question in what the user said last; all of it where there is none."""
    content = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "nothing")
    text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
    questions = re.findall(r"[^\n.:!?]+\?", text)
    return str(questions[-1].strip() if questions else text)


def _words(content: object) -> int:
    return len(json.dumps(content).split())
