"""The OpenAI SDK, seen by Andon: every call becomes one interaction.

    pip install openai openinference-instrumentation-openai opentelemetry-exporter-otlp-proto-http
    andon serve &
    OTEL_SERVICE_NAME=shop OPENAI_API_KEY=... python examples/instrumented_openai.py

Without a key, --offline asks a model that needs none. Where Andon runs elsewhere, OTEL_EXPORTER_OTLP_ENDPOINT says it.
"""

import sys

from openai import OpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if "--offline" in sys.argv:
    import fake_model

    fake_model.start()

# The three lines you need.
traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
OpenAIInstrumentor().instrument(tracer_provider=traces)

# The application, as it was; `metadata` tells Andon what it cannot see: the version of your prompt, and what is at stake.
client = OpenAI()
with using_attributes(session_id="s-1", metadata={"prompt_version": "support-7", "risk_category": "orders"}):
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Where is my order?"}],
    )
print(answer.choices[0].message.content)
