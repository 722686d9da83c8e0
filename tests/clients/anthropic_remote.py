"""The official Anthropic client against a Tallygate whose models run on an OpenAI-compatible server.

The cases are listed and run by `cases`. Reads TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget
pays for nothing. The models `tools`, `json`, `thinking` and `broken` do what their names say; `flaky` answers at the
third time, and nobody can pay for `dear`.
"""

import os

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel

from cases import case, check, run

ORIGIN = os.environ["TALLYGATE_BASE_URL"].removesuffix("/v1")
KEY = os.environ["TALLYGATE_KEY"]
POOR_KEY = os.environ["TALLYGATE_POOR_KEY"]
ASK = {"max_tokens": 64, "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

client = Anthropic(base_url=ORIGIN, api_key=KEY, max_retries=0, timeout=60)


class Place(BaseModel):
    city: str


def counting(**options):
    """A client that tries again, and the statuses of all its tries."""
    attempts = []
    hooks = {"response": [lambda response: attempts.append(response.status_code)]}
    http = anthropic.DefaultHttpxClient(event_hooks=hooks)
    settings = {"base_url": ORIGIN, "api_key": KEY, "max_retries": 2, "timeout": 60, "http_client": http}
    return Anthropic(**(settings | options)), attempts


def check_call(message):
    check(message.stop_reason == "tool_use", f"{message}")
    call = message.content[-1]
    check(call.type == "tool_use" and call.name == "weather" and call.input == {"city": "Paris"}, f"{call}")
    return call


@case
def tools():
    message = client.messages.create(model="tools", tools=[WEATHER], **ASK)
    call = check_call(message)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [
        *ASK["messages"],
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(model="json", tools=[WEATHER], **(ASK | {"messages": messages}))
    check(answer.stop_reason == "end_turn" and answer.content[0].text == '{"city": "Paris"}', f"{answer}")


@case
def streamed_tools():
    kinds = []
    with client.messages.stream(model="tools", tools=[WEATHER], **ASK) as stream:
        for event in stream:
            kinds.append(event.type)
        check_call(stream.get_final_message())
    check(kinds[0] == "message_start" and kinds[-1] == "message_stop", f"{kinds}")
    check("input_json" in kinds, f"{kinds}")


@case
def thinking():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    message = client.messages.create(model="thinking", thinking=thinking, **ASK)
    check([block.type for block in message.content] == ["thinking", "text"], f"{message.content}")
    check((message.content[0].thinking, message.content[1].text) == ("Hm.", "Sunny."), f"{message.content}")
    with client.messages.stream(model="thinking", thinking=thinking, **ASK) as stream:
        streamed = stream.get_final_message().content
    # The client's blocks of a stream are of other types.
    expected = [("thinking", "Hm."), ("text", "Sunny.")]
    check([(block.type, getattr(block, block.type)) for block in streamed] == expected, f"{streamed}")


@case
def structured_output():
    message = client.messages.parse(model="json", output_format=Place, **ASK)
    check(message.parsed_output == Place(city="Paris"), f"{message}")


@case
def errors_of_the_backend():
    try:
        client.messages.create(model="hot", **ASK)
    except anthropic.BadRequestError as error:
        check(error.body["error"]["type"] == "invalid_request_error", f"{error.body}")
        check(error.body["error"]["message"] == "too hot", f"{error.body}")
        check(error.body["error"]["origin"] == "backend", f"{error.body}")
    else:
        raise AssertionError("no error")


@case
def a_stream_that_breaks_off_is_an_error():
    parts = []
    try:
        with client.messages.stream(model="torn", **ASK) as stream:
            parts.extend(stream.text_stream)
    except anthropic.APIError as error:
        check("backend" in str(error), f"{error}")
    else:
        raise AssertionError("no error")
    check(parts == ["a", "b"], f"{parts}")


@case
def a_busy_server_is_retried_until_it_answers():
    patient, attempts = counting()
    with patient:
        message = patient.messages.create(model="flaky", **ASK)
    check(message.content[0].text == "at last", f"{message}")
    check(attempts == [529, 529, 200], f"{attempts}")


@case
def what_no_retry_can_help_is_not_retried():
    patient, attempts = counting(api_key=POOR_KEY)
    with patient:
        try:
            patient.messages.create(model="dear", **ASK)
        except anthropic.RateLimitError as error:
            check(error.body["error"]["code"] == "budget_exceeded", f"{error.body}")
            check(error.response.headers["x-should-retry"] == "false", dict(error.response.headers))
        else:
            raise AssertionError("no error")
    check(attempts == [429], f"{attempts}")


@case
def a_failing_server_is_retried():
    patient, attempts = counting()
    with patient:
        try:
            patient.messages.create(model="broken", **ASK)
        except anthropic.InternalServerError as error:
            check(error.body["error"]["origin"] == "backend", f"{error.body}")
        else:
            raise AssertionError("no error")
    check(len(attempts) == 3 and all(status >= 500 for status in attempts), f"{attempts}")


run()
