"""LangChain's chat model for OpenAI's interface against a running Tallygate.

The cases are listed and run by `cases`. Reads
TALLYGATE_BASE_URL, TALLYGATE_KEY (no limits) and TALLYGATE_LIMITED_KEY (two requests a minute).
"""

import asyncio
import os

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from cases import case, check, run

BASE_URL = os.environ["TALLYGATE_BASE_URL"]
KEY = os.environ["TALLYGATE_KEY"]
LIMITED_KEY = os.environ["TALLYGATE_LIMITED_KEY"]

QUESTION = "What is goodput?"


def chat(**changes):
    # No retries: a case must see the first answer.
    settings = {"model": "demo", "base_url": BASE_URL, "api_key": KEY, "max_retries": 0, "max_tokens": 48, "timeout": 120}
    return ChatOpenAI(**(settings | changes))


def check_usage(message):
    usage = message.usage_metadata
    check(usage is not None, "no usage")
    check(usage["input_tokens"] > 0 and usage["output_tokens"] > 0, f"{usage}")
    check(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], f"{usage}")


def raises(kind, call):
    try:
        call()
    except openai.APIError as error:
        # LangChain derives its own kinds from the client's.
        check(isinstance(error, kind), f"{type(error).__name__} instead of {kind.__name__}: {error}")
        return error
    raise AssertionError(f"no {kind.__name__}")


@case
def invoke():
    message = chat().invoke(QUESTION)
    check(isinstance(message, AIMessage) and bool(message.content.strip()), f"{message}")
    check(message.response_metadata["finish_reason"] in ("stop", "length"), f"{message.response_metadata}")
    check_usage(message)


@case
def a_conversation():
    messages = [SystemMessage("Answer in one sentence."), HumanMessage(QUESTION), AIMessage("In time."), HumanMessage("And?")]
    longer = chat(max_tokens=2).invoke(messages)
    shorter = chat(max_tokens=2).invoke(QUESTION)
    check(longer.usage_metadata["input_tokens"] > shorter.usage_metadata["input_tokens"], "a longer prompt has no more tokens")


@case
def stream():
    model = chat(temperature=0, stream_usage=True)
    whole = None
    for chunk in model.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    check(whole.content == model.invoke(QUESTION).content, f"streamed {whole.content!r}")
    check_usage(whole)


@case
def a_chain_in_a_batch():
    chain = ChatPromptTemplate.from_messages([("user", "What is {a} plus {b}?")]) | chat(temperature=0)
    rows = [{"a": number, "b": number + 1} for number in range(4)]
    together = [message.content for message in chain.batch(rows)]
    check(together == [chain.invoke(row).content for row in rows], f"{together}")


@case
def asynchronous_calls():
    async def both():
        model = chat(max_tokens=16)
        message = await model.ainvoke(QUESTION)
        chunks = [chunk async for chunk in model.astream(QUESTION)]
        return message, chunks

    message, chunks = asyncio.run(both())
    check_usage(message)
    check(len(chunks) > 1, f"{len(chunks)} chunks")


@case
def errors():
    raises(openai.AuthenticationError, lambda: chat(api_key="wrong").invoke(QUESTION))
    raises(openai.NotFoundError, lambda: chat(model="no-such-model").invoke(QUESTION))
    raises(openai.BadRequestError, lambda: chat(temperature=9).invoke(QUESTION))
    raises(openai.BadRequestError, lambda: list(chat(temperature=9).stream(QUESTION)))


@case
def limits():
    limited = chat(api_key=LIMITED_KEY, max_tokens=2)
    limited.invoke(QUESTION)
    limited.invoke(QUESTION)
    error = raises(openai.RateLimitError, lambda: limited.invoke(QUESTION))
    check(0 < float(error.response.headers["retry-after"]) <= 60, f"{error.response.headers}")


run()
