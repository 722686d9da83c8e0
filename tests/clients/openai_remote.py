"""The official OpenAI client against a Tallygate whose models run on an OpenAI-compatible server.

The cases are listed and run by `cases`. Reads TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget
pays for nothing. The models `tools`, `json`, `embed` and `broken` do what their names say; `flaky` answers at the third
time, and nobody can pay for `dear`.
"""

import json
import os

import openai
from openai import OpenAI
from pydantic import BaseModel

from cases import case, check, run

BASE_URL = os.environ["TALLYGATE_BASE_URL"]
KEY = os.environ["TALLYGATE_KEY"]
POOR_KEY = os.environ["TALLYGATE_POOR_KEY"]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=60)


class Place(BaseModel):
    city: str


def counting(**options):
    """A client that tries again, and the statuses of all its tries."""
    attempts = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: attempts.append(response.status_code)]})
    settings = {"base_url": BASE_URL, "api_key": KEY, "max_retries": 2, "timeout": 60, "http_client": http}
    return OpenAI(**(settings | options)), attempts


def check_call(call):
    check(call.function.name == "weather", f"{call}")
    check(json.loads(call.function.arguments) == {"city": "Paris"}, f"{call}")


@case
def tools():
    answer = client.chat.completions.create(model="tools", messages=QUESTION, tools=[WEATHER], tool_choice="auto")
    check(answer.choices[0].finish_reason == "tool_calls", f"{answer.choices}")
    check_call(answer.choices[0].message.tool_calls[0])
    check(answer.usage.completion_tokens > 0, f"{answer.usage}")


@case
def streamed_tools():
    with client.chat.completions.stream(model="tools", messages=QUESTION, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    check(answer.choices[0].finish_reason == "tool_calls", f"{answer.choices}")
    check_call(answer.choices[0].message.tool_calls[0])


@case
def the_answer_of_a_tool():
    calls = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}]
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="json", messages=messages, tools=[WEATHER])
    check(bool(answer.choices[0].message.content), f"{answer}")


@case
def structured_output():
    answer = client.chat.completions.parse(model="json", messages=QUESTION, response_format=Place)
    check(answer.choices[0].message.parsed == Place(city="Paris"), f"{answer.choices}")


@case
def embeddings():
    answer = client.embeddings.create(model="embed", input=["one", "two"])
    check([entry.index for entry in answer.data] == [0, 1], f"{answer.data}")
    check(all(entry.embedding == [0.5, -0.25, 1.0] for entry in answer.data), f"{answer.data}")
    check(answer.usage.prompt_tokens > 0, f"{answer.usage}")


FUNCTION = {"type": "function", **WEATHER["function"], "strict": False}


def check_function_call(response):
    check(response.status == "completed", f"{response}")
    call = next(item for item in response.output if item.type == "function_call")
    check(call.name == "weather" and json.loads(call.arguments) == {"city": "Paris"}, f"{call}")
    check(response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0, f"{response.usage}")
    return call


@case
def responses_with_tools():
    response = client.responses.create(model="tools", input=QUESTION, tools=[FUNCTION])
    call = check_function_call(response)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = client.responses.create(model="json", previous_response_id=response.id, input=[result], tools=[FUNCTION])
    check(json.loads(answer.output_text) == {"city": "Paris"}, f"{answer.output}")
    check(client.responses.retrieve(answer.id).output_text == answer.output_text, "another answer was stored")
    client.responses.delete(answer.id)
    try:
        client.responses.retrieve(answer.id)
    except openai.NotFoundError as error:
        check(error.code == "response_not_found", f"{error.body}")
    else:
        raise AssertionError("it is still there")


@case
def streamed_responses():
    kinds = []
    with client.responses.stream(model="tools", input=QUESTION, tools=[FUNCTION]) as stream:
        for event in stream:
            kinds.append(event.type)
        check_function_call(stream.get_final_response())
    check(kinds[0] == "response.created" and kinds[-1] == "response.completed", f"{kinds}")
    check("response.function_call_arguments.delta" in kinds, f"{kinds}")


@case
def structured_responses():
    response = client.responses.parse(model="json", input=QUESTION, text_format=Place)
    check(response.output_parsed == Place(city="Paris"), f"{response.output}")


@case
def errors_of_the_backend():
    try:
        client.chat.completions.create(model="hot", messages=QUESTION)
    except openai.BadRequestError as error:
        check(error.code == "backend_refused" and error.param == "temperature", f"{error.body}")
        check(error.body["origin"] == "backend" and "too hot" in error.message, f"{error.body}")
    else:
        raise AssertionError("no error")


@case
def a_busy_server_is_retried_until_it_answers():
    patient, attempts = counting()
    with patient:
        answer = patient.chat.completions.create(model="flaky", messages=QUESTION)
    check(answer.choices[0].message.content == "at last", f"{answer.choices}")
    check(attempts == [503, 503, 200], f"{attempts}")


@case
def what_no_retry_can_help_is_not_retried():
    patient, attempts = counting(api_key=POOR_KEY)
    with patient:
        try:
            patient.chat.completions.create(model="dear", messages=QUESTION)
        except openai.RateLimitError as error:
            check(error.code == "budget_exceeded", f"{error.body}")
            check(error.response.headers["x-should-retry"] == "false", dict(error.response.headers))
        else:
            raise AssertionError("no error")
    check(attempts == [429], f"{attempts}")


@case
def a_failing_server_is_retried():
    patient, attempts = counting()
    with patient:
        try:
            patient.chat.completions.create(model="broken", messages=QUESTION)
        except openai.InternalServerError as error:
            check(error.body["origin"] == "backend", f"{error.body}")
        else:
            raise AssertionError("no error")
    check(len(attempts) == 3 and all(status >= 500 for status in attempts), f"{attempts}")


run()
