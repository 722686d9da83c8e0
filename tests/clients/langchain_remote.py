"""LangChain against a Tallygate whose models run on an OpenAI-compatible server.

The cases are listed and run by `cases`. Reads TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget
pays for nothing. The models `tools`, `json` and `embed` do what their names say; `flaky` answers at the third time, and
nobody can pay for `dear`.
"""

import os

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from cases import case, check, run

SERVICE = {"base_url": os.environ["TALLYGATE_BASE_URL"], "api_key": os.environ["TALLYGATE_KEY"], "max_retries": 0}
QUESTION = "What is the weather in Paris?"


class Place(BaseModel):
    """A place."""

    city: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@case
def tools():
    model = ChatOpenAI(model="tools", **SERVICE).bind_tools([weather])
    message = model.invoke(QUESTION)
    check(message.tool_calls[0]["name"] == "weather" and message.tool_calls[0]["args"] == {"city": "Paris"}, f"{message}")
    result = weather.invoke(message.tool_calls[0])
    check(isinstance(result, ToolMessage), f"{result}")
    answer = ChatOpenAI(model="json", **SERVICE).invoke([HumanMessage(QUESTION), message, result])
    check(bool(answer.content), f"{answer}")


@case
def streamed_tools():
    whole = None
    for chunk in ChatOpenAI(model="tools", **SERVICE).bind_tools([weather]).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    check(whole.tool_calls[0]["args"] == {"city": "Paris"}, f"{whole}")


@case
def structured_output():
    model = ChatOpenAI(model="json", **SERVICE).with_structured_output(Place, method="json_schema")
    check(model.invoke(QUESTION) == Place(city="Paris"), "another place")


@case
def embeddings():
    # The texts go as texts: the tokenizer of a hosted model is not asked for.
    vectors = OpenAIEmbeddings(model="embed", check_embedding_ctx_length=False, **SERVICE).embed_documents(["one", "two"])
    check(vectors == [[0.5, -0.25, 1.0]] * 2, f"{vectors}")


def counting(**options):
    """A model that tries again, and the statuses of all its tries."""
    attempts = []
    http = openai.DefaultHttpxClient(event_hooks={"response": [lambda response: attempts.append(response.status_code)]})
    return ChatOpenAI(**(SERVICE | {"max_retries": 2, "http_client": http} | options)), attempts


@case
def errors_of_the_backend():
    try:
        ChatOpenAI(model="hot", **SERVICE).invoke(QUESTION)
    except openai.BadRequestError as error:
        check(error.code == "backend_refused" and "too hot" in str(error), f"{error.body}")
    else:
        raise AssertionError("no error")


@case
def a_busy_server_is_retried_until_it_answers():
    model, attempts = counting(model="flaky")
    check(model.invoke(QUESTION).content == "at last", "another answer")
    check(attempts == [503, 503, 200], f"{attempts}")


@case
def what_no_retry_can_help_is_not_retried():
    model, attempts = counting(model="dear", api_key=os.environ["TALLYGATE_POOR_KEY"])
    try:
        model.invoke(QUESTION)
    except openai.RateLimitError as error:
        check(error.code == "budget_exceeded", f"{error.body}")
    else:
        raise AssertionError("no error")
    check(attempts == [429], f"{attempts}")


run()
