"""A LangChain chain, seen by Andon: every invocation becomes one interaction, with the steps it took.

    pip install langchain-openai openinference-instrumentation-langchain opentelemetry-exporter-otlp-proto-http
    andon serve &
    OTEL_SERVICE_NAME=shop OPENAI_API_KEY=... python examples/instrumented_langchain.py

Without a key, --offline asks a model that needs none. Where Andon runs elsewhere, OTEL_EXPORTER_OTLP_ENDPOINT says it.
"""

import sys

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if "--offline" in sys.argv:
    import fake_model

    fake_model.start()

# The three lines you need.
traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
LangChainInstrumentor().instrument(tracer_provider=traces)

# The application, as it was; `metadata` tells Andon what it cannot see: the version of your prompt, and what is at stake.
prompt = ChatPromptTemplate.from_messages([("system", "You answer for a shop, briefly."), ("user", "{question}")])
chain = prompt | ChatOpenAI(model="gpt-4o-mini")
answer = chain.invoke(
    {"question": "Where is my order?"},
    config={"metadata": {"session_id": "s-1", "prompt_version": "support-7", "risk_category": "orders"}},
)
print(answer.content)
