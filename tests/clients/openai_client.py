"""The official OpenAI client against a running Tallygate, as a customer would use it.

The cases are listed and run by `cases`. Reads
TALLYGATE_BASE_URL, TALLYGATE_KEY (no limits), TALLYGATE_LIMITED_KEY (two requests a minute) and TALLYGATE_SINGLE_KEY
(one request at a time).
"""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
from openai import AsyncOpenAI, OpenAI

from cases import case, check, run

BASE_URL = os.environ["TALLYGATE_BASE_URL"]
KEY = os.environ["TALLYGATE_KEY"]
LIMITED_KEY = os.environ["TALLYGATE_LIMITED_KEY"]
SINGLE_KEY = os.environ["TALLYGATE_SINGLE_KEY"]

MODEL = "demo"
QUESTION = [{"role": "user", "content": "What is goodput?"}]
STORY = [{"role": "user", "content": "Tell me a short story about a fox."}]

# No retries: a case must see the first answer. The bound is for a hanging server, not a slow one.
client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=120)

def raises(kind, call):
    """Calls and gives the error, which must be of exactly this kind."""
    try:
        call()
    except openai.APIError as error:
        check(type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}")
        return error
    raise AssertionError(f"no {kind.__name__}")


def post(body, headers):
    """Sends any bytes, as no client would; gives status and parsed answer."""
    headers = {"content-type": "application/json"} | headers
    request = urllib.request.Request(f"{BASE_URL}/chat/completions", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check_usage(usage):
    check(usage is not None, "no usage")
    check(usage.prompt_tokens > 0, f"prompt_tokens {usage.prompt_tokens}")
    check(usage.completion_tokens > 0, f"completion_tokens {usage.completion_tokens}")
    check(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, f"total of {usage}")


def check_extension(figures):
    """The figures only Tallygate gives, as a plain dictionary."""
    check(isinstance(figures, dict), f"no extension: {figures!r}")
    for name in ("energy_mj", "energy_source", "ttft_ms", "tpot_ms", "slo_met"):
        check(name in figures, f"{name} is missing from {figures}")
    check(isinstance(figures["energy_mj"], int) and figures["energy_mj"] >= 0, f"energy_mj {figures['energy_mj']!r}")
    check(figures["ttft_ms"] > 0, f"ttft_ms {figures['ttft_ms']!r}")
    check(isinstance(figures["slo_met"], bool), f"slo_met {figures['slo_met']!r}")


def create(**changes):
    request = {"model": MODEL, "messages": QUESTION, "max_tokens": 64}
    return client.chat.completions.create(**(request | changes))


@case
def plain_chat():
    answer = create()
    check(answer.object == "chat.completion", answer.object)
    check(answer.model == MODEL, answer.model)
    check(len(answer.choices) == 1, f"{len(answer.choices)} choices")
    check(answer.choices[0].message.role == "assistant", "role")
    check(bool(answer.choices[0].message.content.strip()), "an empty answer")
    check(answer.choices[0].finish_reason in ("stop", "length"), answer.choices[0].finish_reason)
    check_usage(answer.usage)
    check_extension(answer.usage.model_extra["tallygate"])


@case
def headers_of_a_plain_chat():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, max_tokens=16)
    energy = raw.headers["x-tallygate-energy-mj"]
    check(energy.isdecimal(), f"x-tallygate-energy-mj {energy!r}")
    check(bool(raw.headers["x-request-id"]), "x-request-id is empty")
    answer = raw.parse()
    check(raw.headers["x-request-id"] in answer.id, f"{raw.headers['x-request-id']} is not in {answer.id}")
    check(answer.usage.model_extra["tallygate"]["energy_mj"] == int(energy), "header and body differ")


@case
def the_same_seed_gives_the_same_answer():
    answers = {create(temperature=0.8, seed=7).choices[0].message.content for _ in range(2)}
    check(len(answers) == 1, f"two answers: {answers}")
    greedy = {create(temperature=0).choices[0].message.content for _ in range(2)}
    check(len(greedy) == 1, f"two greedy answers: {greedy}")


@case
def max_tokens_ends_an_answer():
    answer = create(messages=STORY, max_tokens=3)
    check(answer.choices[0].finish_reason == "length", answer.choices[0].finish_reason)
    check(answer.usage.completion_tokens == 3, f"{answer.usage.completion_tokens} tokens")


@case
def a_stop_text_ends_an_answer():
    whole = create(temperature=0).choices[0].message.content
    words = whole.split()
    check(len(words) > 2, f"too short to cut: {whole!r}")
    cut = create(temperature=0, stop=[words[2]]).choices[0]
    check(words[2] not in cut.message.content, f"{words[2]!r} is in {cut.message.content!r}")
    check(whole.startswith(cut.message.content), f"{cut.message.content!r} does not begin {whole!r}")
    check(cut.finish_reason == "stop", cut.finish_reason)


def read(stream):
    """Text, finish reason, usage blocks and extension of a whole stream."""
    text, reasons, usages, extensions = "", [], [], []
    for chunk in stream:
        check(chunk.object == "chat.completion.chunk", chunk.object)
        if chunk.usage is not None:
            check(chunk.choices == [], "a usage chunk has a choice")
            usages.append(chunk.usage)
        if chunk.model_extra.get("tallygate"):
            extensions.append(chunk.model_extra["tallygate"])
        for choice in chunk.choices:
            text += choice.delta.content or ""
            if choice.finish_reason:
                reasons.append(choice.finish_reason)
    return text, reasons, usages, extensions


@case
def streamed_chat_with_usage():
    stream = create(stream=True, temperature=0, stream_options={"include_usage": True})
    text, reasons, usages, _ = read(stream)
    check(text == create(temperature=0).choices[0].message.content, f"streamed text differs: {text!r}")
    check(len(reasons) == 1 and reasons[0] in ("stop", "length"), f"finish reasons {reasons}")
    check(len(usages) == 1, f"{len(usages)} usage blocks")
    check_usage(usages[0])
    check_extension(usages[0].model_extra["tallygate"])


@case
def streamed_chat_without_usage():
    text, reasons, usages, extensions = read(create(stream=True))
    check(bool(text.strip()), "an empty answer")
    check(len(reasons) == 1, f"finish reasons {reasons}")
    check(usages == [], "usage that was not asked for")
    # The figures come all the same, where the client does not look.
    check(len(extensions) == 1, f"{len(extensions)} extensions")
    check_extension(extensions[0])


@case
def usage_off_by_name():
    _, _, usages, _ = read(create(stream=True, stream_options={"include_usage": False}))
    check(usages == [], "usage that was not asked for")


@case
def stream_helper_of_the_client():
    with client.chat.completions.stream(model=MODEL, messages=QUESTION, max_tokens=32) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    check(bool(answer.choices[0].message.content.strip()), "an empty answer")


@case
def closing_a_stream_early():
    stream = create(messages=STORY, stream=True, max_tokens=256)
    next(iter(stream))
    stream.close()
    # The server is as it was: the next answer comes.
    check_usage(create(max_tokens=4).usage)


@case
def content_in_parts():
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "goodput?"}]
    in_parts = create(messages=[{"role": "user", "content": parts}], temperature=0)
    whole = create(temperature=0)
    check(in_parts.usage.prompt_tokens == whole.usage.prompt_tokens, "prompts differ")
    check(in_parts.choices[0].message.content == whole.choices[0].message.content, "answers differ")


@case
def a_conversation():
    messages = [
        {"role": "system", "content": "Answer in one sentence."},
        *QUESTION,
        {"role": "assistant", "content": "Goodput counts answers that came in time."},
        {"role": "user", "content": "What is a token?"},
    ]
    answer = create(messages=messages)
    check(answer.usage.prompt_tokens > create().usage.prompt_tokens, "a longer prompt has no more tokens")


@case
def list_of_models():
    names = [model.id for model in client.models.list()]
    check(MODEL in names, f"{MODEL} is not among {names}")
    check(client.models.retrieve(MODEL).id == MODEL, "retrieve")


@case
def bad_keys():
    good_form = "tg-" + "a" * (len(KEY.split("-")[1])) + "-" + KEY.split("-", 2)[2]
    wrong_secret = KEY[:-1] + ("A" if KEY[-1] != "A" else "B")
    for key in ("wrong", "sk-0123456789", good_form, wrong_secret, KEY + "x"):
        other = client.with_options(api_key=key)
        error = raises(openai.AuthenticationError, lambda: other.chat.completions.create(model=MODEL, messages=QUESTION))
        check(error.status_code == 401, str(error.status_code))
        check(KEY.split("-", 2)[2] not in str(error), "the error shows a secret")
        raises(openai.AuthenticationError, lambda: other.models.list())
    status, _ = post(json.dumps({"model": MODEL, "messages": QUESTION}).encode(), {})
    check(status == 401, f"without a key: {status}")


@case
def unknown_models():
    for model in ("no-such-model", "demo2", "gpt-4o", "a b", "DEMO"):
        error = raises(openai.NotFoundError, lambda: create(model=model))
        check(error.code == "model_not_found", f"{model}: {error.code}")
        raises(openai.NotFoundError, lambda: create(model=model, stream=True))
    raises(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"))


@case
def bad_requests():
    rows = [
        ("temperature", {"temperature": 9}),
        ("temperature", {"temperature": -0.1}),
        ("top_p", {"top_p": 1.5}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_tokens", {"max_tokens": -1}),
        ("messages", {"messages": []}),
        ("messages", {"messages": [{"role": "wizard", "content": "x"}]}),
        ("messages", {"messages": [{"role": "user"}]}),
        ("messages", {"messages": "hello"}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
        ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
        ("n", {"n": 2}),
        ("stream_options", {"stream_options": {"include_usage": True}}),
    ]
    for param, changes in rows:
        error = raises(openai.BadRequestError, lambda: create(**changes))
        check(error.status_code == 400, f"{changes}: {error.status_code}")
        check((error.param or "").startswith(param), f"{changes}: param {error.param!r}")
        check(param in error.message, f"{changes}: the message does not name it: {error.message}")
        raises(openai.BadRequestError, lambda: create(**(changes | {"stream": "stream_options" not in changes})))


@case
def broken_bodies():
    bodies = [b"", b"{", b"[]", b"null", b"hello", b"\xff\xfe", b'{"model": "demo"}', b'{"messages": []}']
    bodies.append(b'{"model": "demo", "messages": [{"role": "user", "content": "x"}]} and more')
    for body in bodies:
        status, answer = post(body, {"authorization": f"Bearer {KEY}"})
        check(status == 400, f"{body!r}: {status}")
        error = answer["error"]
        check(error["type"] == "invalid_request_error", f"{body!r}: {error}")
        check(bool(error["message"]) and bool(error["code"]), f"{body!r}: {error}")


@case
def too_long_a_prompt():
    error = raises(openai.BadRequestError, lambda: create(messages=[{"role": "user", "content": "word " * 50_000}]))
    check(error.code == "context_length_exceeded", f"{error.code}: {error.message}")


@case
def limits():
    limited = client.with_options(api_key=LIMITED_KEY)

    def ask():
        return limited.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, max_tokens=2)

    # A refused body takes nothing from the limit.
    raises(openai.BadRequestError, lambda: limited.chat.completions.create(model=MODEL, messages=[]))
    first = ask()
    check(first.headers["x-ratelimit-limit-requests"] == "2", dict(first.headers))
    check(first.headers["x-ratelimit-remaining-requests"] == "1", dict(first.headers))
    ask()
    error = raises(openai.RateLimitError, ask)
    check(error.status_code == 429, str(error.status_code))
    check(error.response.headers["x-ratelimit-remaining-requests"] == "0", dict(error.response.headers))
    wait = float(error.response.headers["retry-after"])
    check(0 < wait <= 60, f"retry-after {wait}")
    # Other keys are not touched.
    check_usage(create(max_tokens=2).usage)


@case
def a_retry_after_a_refusal_succeeds():
    attempts = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: attempts.append(response)]})
    with OpenAI(base_url=BASE_URL, api_key=SINGLE_KEY, max_retries=20, timeout=120, http_client=http) as single:
        ask = {"model": MODEL, "messages": QUESTION}
        # The only place is taken until this stream has been read.
        stream = single.chat.completions.create(stream=True, max_tokens=256, extra_body={"ignore_eos": True}, **ask)
        with ThreadPoolExecutor() as pool:
            second = pool.submit(single.chat.completions.create, max_tokens=2, **ask)
            while len(attempts) < 2 and not second.done():
                time.sleep(0.01)
            parts = sum(len(chunk.choices) for chunk in stream)
            check_usage(second.result().usage)
    statuses = [response.status_code for response in attempts]
    check(parts > 1, f"{parts} parts")
    check(statuses[:2] == [200, 429] and statuses[-1] == 200, f"{statuses}")
    check(float(attempts[1].headers["retry-after"]) > 0, dict(attempts[1].headers))


@case
def eight_streams_at_once():
    async def one(other, number):
        stream = await other.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"What is {number} plus {number + 1}?"}],
            max_tokens=32,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        text, usage = "", None
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
        check_usage(usage)
        return text

    async def all_at_once():
        async with AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=120) as other:
            return await asyncio.gather(*(one(other, number) for number in range(8)))

    together = asyncio.run(all_at_once())
    # An answer does not depend on who else is being served.
    for number, text in enumerate(together):
        question = [{"role": "user", "content": f"What is {number} plus {number + 1}?"}]
        alone = create(messages=question, max_tokens=32, temperature=0).choices[0].message.content
        check(text == alone, f"{number}: {text!r} together, {alone!r} alone")


run()
