"""The official OpenAI client against a Tallygate whose models run on an OpenAI-compatible server.

The cases are listed and run by `cases`. Reads TALLYGATE_BASE_URL and TALLYGATE_KEY. The models `tools`, `json`,
`embed` and `broken` do what their names say.
"""

import json
import os

import openai
from openai import OpenAI
from pydantic import BaseModel

from cases import case, check, run

BASE_URL = os.environ["TALLYGATE_BASE_URL"]
KEY = os.environ["TALLYGATE_KEY"]
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


@case
def a_failing_server_is_retried():
    attempts = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: attempts.append(response.status_code)]})
    with OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=2, timeout=60, http_client=http) as patient:
        try:
            patient.chat.completions.create(model="broken", messages=QUESTION)
        except openai.InternalServerError as error:
            check(error.body["origin"] == "backend", f"{error.body}")
        else:
            raise AssertionError("no error")
    check(len(attempts) == 3 and all(status >= 500 for status in attempts), f"{attempts}")


run()
