"""A LlamaIndex query engine, seen by Andon: every query becomes one interaction, with the passages it was answered from.

    pip install llama-index-core llama-index-llms-openai openinference-instrumentation-llama-index \
        opentelemetry-exporter-otlp-proto-http
    andon serve &
    OTEL_SERVICE_NAME=shop OPENAI_API_KEY=... python examples/instrumented_llamaindex.py

Without a key, --offline asks a model that needs none. Where Andon runs elsewhere, OTEL_EXPORTER_OTLP_ENDPOINT says it.
"""

import sys

from llama_index.core import SummaryIndex
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if "--offline" in sys.argv:
    import fake_model

    fake_model.start()

# The three lines you need.
traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
LlamaIndexInstrumentor().instrument(tracer_provider=traces)

# The application, as it was; `metadata` tells Andon what it cannot see: the version of your index, and what is at stake.
passages = [TextNode(text="Orders are sent within two days."), TextNode(text="Shoes can be returned for a month.")]
engine = SummaryIndex(passages).as_query_engine(llm=OpenAI(model="gpt-4o-mini"))
with using_attributes(session_id="s-1", metadata={"index_version": "2026-08", "risk_category": "orders"}):
    print(engine.query("Where is my order?"))
