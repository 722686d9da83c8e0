"""The official Anthropic client against a running Tallygate, as a customer would use it.

The cases are listed and run by `cases`. Reads
TALLYGATE_ORIGIN, TALLYGATE_KEY (no limits) and TALLYGATE_LIMITED_KEY (two requests a minute).
"""

import asyncio
import datetime
import os
import time

import anthropic
from anthropic import Anthropic, AsyncAnthropic

from cases import case, check, run

ORIGIN = os.environ["TALLYGATE_ORIGIN"]
KEY = os.environ["TALLYGATE_KEY"]
LIMITED_KEY = os.environ["TALLYGATE_LIMITED_KEY"]

MODEL = "demo"
QUESTION = [{"role": "user", "content": "What is goodput?"}]
STORY = [{"role": "user", "content": "Tell me a short story about a fox."}]
GREEDY = {"temperature": 0}

# No retries: a case must see the first answer. The bound is for a hanging server, not a slow one.
client = Anthropic(base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=120)

def raises(kind, call):
    """Calls and gives the error, which must be of exactly this kind and in this dialect."""
    try:
        call()
    except anthropic.APIStatusError as error:
        check(type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}")
        check(error.body["type"] == "error", f"{error.body}")
        check(bool(error.request_id) and error.body["request_id"] == error.request_id, f"{error.body}")
        return error
    raise AssertionError(f"no {kind.__name__}")


def create(**changes):
    # The client knows no sampling parameters any more; they go as a further part of the body.
    request = {"model": MODEL, "messages": QUESTION, "max_tokens": 64, "extra_body": GREEDY}
    return client.messages.create(**(request | changes))


def check_message(message):
    check(message.type == "message" and message.role == "assistant", f"{message}")
    check(message.id.startswith("msg_") and message.model == MODEL, f"{message}")
    check([block.type for block in message.content] == ["text"], f"{message.content}")
    check(bool(message.content[0].text.strip()), "an empty answer")
    check(message.stop_reason in ("end_turn", "max_tokens"), f"{message.stop_reason}")
    check(message.stop_sequence is None, f"{message.stop_sequence}")
    usage = message.usage
    check(usage.input_tokens > 0 and usage.output_tokens > 0, f"{usage}")
    check((usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0), f"{usage}")


def check_extension(figures):
    """The figures only Tallygate gives, as a plain dictionary."""
    check(isinstance(figures, dict), f"no extension: {figures!r}")
    check(isinstance(figures["energy_mj"], int) and figures["energy_mj"] >= 0, f"{figures}")
    check(figures["ttft_ms"] > 0 and isinstance(figures["slo_met"], bool), f"{figures}")


@case
def create_a_message():
    message = create()
    check_message(message)
    check_extension(message.usage.model_extra["tallygate"])
    check(message._request_id in message.id, f"{message._request_id} is not in {message.id}")
    check(create().content[0].text == message.content[0].text, "two greedy answers differ")


@case
def a_bearer_token():
    with Anthropic(base_url=ORIGIN, auth_token=KEY, api_key=None, max_retries=0, timeout=120) as other:
        check_message(other.messages.create(model=MODEL, messages=QUESTION, max_tokens=4))


@case
def max_tokens_ends_an_answer():
    message = create(messages=STORY, max_tokens=3)
    check(message.stop_reason == "max_tokens", message.stop_reason)
    check(message.usage.output_tokens == 3, f"{message.usage}")


@case
def a_stop_text_ends_an_answer():
    whole = create().content[0].text
    words = whole.split()
    check(len(words) > 2, f"too short to cut: {whole!r}")
    cut = create(stop_sequences=[words[2]])
    check(words[2] not in cut.content[0].text, f"{words[2]!r} is in {cut.content[0].text!r}")
    check(whole.startswith(cut.content[0].text), f"{cut.content[0].text!r} does not begin {whole!r}")
    check((cut.stop_reason, cut.stop_sequence) == ("stop_sequence", words[2]), f"{cut}")


@case
def stream_with_the_helper():
    with client.messages.stream(model=MODEL, messages=QUESTION, max_tokens=64, extra_body=GREEDY) as stream:
        parts = list(stream.text_stream)
        message = stream.get_final_message()
    check_message(message)
    whole = create()
    check("".join(parts) == message.content[0].text == whole.content[0].text, f"{parts}")
    check(message.usage.input_tokens == whole.usage.input_tokens, f"{message.usage}")
    check(message.usage.output_tokens == whole.usage.output_tokens, f"{message.usage}")
    check(message.stop_reason == whole.stop_reason, message.stop_reason)


@case
def stream_of_raw_events():
    events = list(create(stream=True))
    kinds = [event.type for event in events]
    check(kinds[:2] == ["message_start", "content_block_start"], f"{kinds}")
    check(kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], f"{kinds}")
    check(len(kinds) > 5 and set(kinds[2:-3]) == {"content_block_delta"}, f"{kinds}")
    start, end = events[0].message, events[-2]
    check(start.content == [] and start.stop_reason is None, f"{start}")
    check(start.usage.input_tokens == end.usage.input_tokens > 0, f"{start.usage} {end.usage}")
    check(end.usage.output_tokens > 0, f"{end.usage}")
    check_extension(end.usage.model_extra["tallygate"])


@case
def closing_a_stream_early():
    stream = create(messages=STORY, stream=True, max_tokens=256)
    next(iter(stream))
    stream.close()
    # The server is as it was: the next answer comes.
    check_message(create(max_tokens=4))


@case
def count_tokens():
    conversation = [
        {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "goodput?"}]},
        {"role": "assistant", "content": "Goodput counts answers that came in time."},
        {"role": "user", "content": "What is a token?"},
    ]
    prompts = [{"messages": QUESTION}, {"messages": conversation, "system": "Answer in one sentence."}]
    counts = [client.messages.count_tokens(model=MODEL, **prompt).input_tokens for prompt in prompts]
    billed = [create(max_tokens=2, **prompt).usage.input_tokens for prompt in prompts]
    check(counts == billed and counts[0] < counts[1], f"{counts} counted, {billed} billed")


@case
def bad_keys():
    wrong_secret = KEY[:-1] + ("A" if KEY[-1] != "A" else "B")
    for key in ("wrong", "sk-ant-0123456789", wrong_secret, KEY + "x"):
        other = client.with_options(api_key=key)
        ask = {"model": MODEL, "messages": QUESTION}
        error = raises(anthropic.AuthenticationError, lambda: other.messages.create(max_tokens=2, **ask))
        check(error.body["error"]["type"] == "authentication_error", f"{error.body}")
        check(KEY.split("-", 2)[2] not in str(error), "the error shows a secret")
        raises(anthropic.AuthenticationError, lambda: other.messages.count_tokens(**ask))


@case
def unknown_models():
    for model in ("no-such-model", "claude-sonnet-4-5", "a b"):
        error = raises(anthropic.NotFoundError, lambda: create(model=model))
        check(error.body["error"]["type"] == "not_found_error" and model in str(error), f"{error.body}")
        raises(anthropic.NotFoundError, lambda: create(model=model, stream=True))
        raises(anthropic.NotFoundError, lambda: client.messages.count_tokens(model=model, messages=QUESTION))


@case
def bad_requests():
    tool = {"name": "t", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    rows = [
        ("max_tokens", {"max_tokens": 0}),
        ("temperature", {"extra_body": {"temperature": 1.5}}),
        ("top_p", {"extra_body": {"top_p": 2}}),
        ("messages", {"messages": []}),
        ("messages.0.role", {"messages": [{"role": "wizard", "content": "x"}]}),
        ("messages.0.content.0.type", {"messages": [{"role": "user", "content": [image]}]}),
        ("tools", {"tools": [tool]}),
        ("thinking", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("frobnicate: Extra inputs are not permitted", {"extra_body": {"frobnicate": 1}}),
    ]
    for path, changes in rows:
        error = raises(anthropic.BadRequestError, lambda: create(**changes))
        check(error.body["error"]["type"] == "invalid_request_error", f"{error.body}")
        check(error.body["error"]["message"].startswith(path), f"{changes}: {error.body}")
        raises(anthropic.BadRequestError, lambda: create(**(changes | {"stream": True})))


@case
def too_long_a_prompt():
    long = [{"role": "user", "content": "word " * 50_000}]
    raises(anthropic.BadRequestError, lambda: create(messages=long))


@case
def limits():
    limited = client.with_options(api_key=LIMITED_KEY)

    def ask():
        return limited.messages.with_raw_response.create(model=MODEL, messages=QUESTION, max_tokens=2)

    # A refused body and a count take nothing from the limit.
    raises(anthropic.BadRequestError, lambda: limited.messages.create(model=MODEL, messages=[], max_tokens=2))
    limited.messages.count_tokens(model=MODEL, messages=QUESTION)
    first = ask()
    check(first.headers["anthropic-ratelimit-requests-limit"] == "2", dict(first.headers))
    check(first.headers["anthropic-ratelimit-requests-remaining"] == "1", dict(first.headers))
    reset = datetime.datetime.fromisoformat(first.headers["anthropic-ratelimit-requests-reset"])
    left = (reset - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    check(-5 < left <= 60, f"reset in {left} s")
    ask()
    error = raises(anthropic.RateLimitError, ask)
    check(error.body["error"]["type"] == "rate_limit_error", f"{error.body}")
    check(error.response.headers["anthropic-ratelimit-requests-remaining"] == "0", dict(error.response.headers))
    wait = float(error.response.headers["retry-after"])
    check(0 < wait <= 60, f"retry-after {wait}")
    check_message(create(max_tokens=2))


@case
def four_streams_at_once():
    async def one(other, number):
        question = [{"role": "user", "content": f"What is {number} plus {number + 1}?"}]
        async with other.messages.stream(
            model=MODEL, messages=question, max_tokens=16, extra_body=GREEDY
        ) as stream:
            return (await stream.get_final_message()).content[0].text

    async def all_at_once():
        async with AsyncAnthropic(base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=120) as other:
            return await asyncio.gather(*(one(other, number) for number in range(4)))

    for number, text in enumerate(asyncio.run(all_at_once())):
        question = [{"role": "user", "content": f"What is {number} plus {number + 1}?"}]
        alone = create(messages=question, max_tokens=16).content[0].text
        check(text == alone, f"{number}: {text!r} together, {alone!r} alone")


run()
