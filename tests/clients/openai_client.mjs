// The official OpenAI client for JavaScript against a running Tallygate, as a customer would use it.
// Reads TALLYGATE_BASE_URL, TALLYGATE_KEY (no limits), TALLYGATE_LIMITED_KEY (two requests a minute) and
// TALLYGATE_SINGLE_KEY (one request at a time).

import OpenAI from "openai";

import { check, countingFetch, raises, run, testCase } from "./cases.mjs";

const baseURL = process.env.TALLYGATE_BASE_URL;
const apiKey = process.env.TALLYGATE_KEY;
const model = "demo";
const question = [{ role: "user", content: "What is goodput?" }];
const story = [{ role: "user", content: "Tell me a short story about a fox." }];

// No retries: a case must see the first answer. The bound is for a hanging server, not a slow one.
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 120_000 });

function create(changes = {}) {
  return client.chat.completions.create({ model, messages: question, max_tokens: 64, ...changes });
}

function checkUsage(usage) {
  check(usage, "no usage");
  check(usage.prompt_tokens > 0 && usage.completion_tokens > 0, usage);
  check(usage.total_tokens === usage.prompt_tokens + usage.completion_tokens, usage);
}

testCase(async function plain_chat() {
  const answer = await create();
  check(answer.object === "chat.completion" && answer.model === model, answer);
  check(answer.choices.length === 1 && answer.choices[0].message.role === "assistant", answer.choices);
  check(answer.choices[0].message.content.trim() !== "", "an empty answer");
  check(["stop", "length"].includes(answer.choices[0].finish_reason), answer.choices[0].finish_reason);
  checkUsage(answer.usage);
  check(Number.isInteger(answer.usage.tallygate.energy_mj), answer.usage);
});

testCase(async function the_request_id_is_given() {
  const { data, response, request_id } = await create({ max_tokens: 4 }).withResponse();
  check(request_id && data.id.includes(request_id), `${request_id} is not in ${data.id}`);
  check(response.headers.get("x-request-id") === request_id, "the headers differ");
});

testCase(async function streamed_chat_with_usage() {
  const stream = await create({ stream: true, temperature: 0, stream_options: { include_usage: true } });
  let text = "";
  const reasons = [];
  const usages = [];
  for await (const chunk of stream) {
    check(chunk.object === "chat.completion.chunk", chunk);
    if (chunk.usage) usages.push(chunk.usage);
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      if (choice.finish_reason) reasons.push(choice.finish_reason);
    }
  }
  check(reasons.length === 1 && usages.length === 1, { reasons, usages });
  checkUsage(usages[0]);
  const whole = await create({ temperature: 0 });
  check(text === whole.choices[0].message.content, `streamed ${text}`);
});

testCase(async function stream_helper_of_the_client() {
  const runner = client.chat.completions.stream({ model, messages: question, max_tokens: 32 });
  let pieces = "";
  runner.on("content", (delta) => (pieces += delta));
  const final = await runner.finalChatCompletion();
  check(final.choices[0].message.content === pieces && pieces.trim() !== "", { pieces });
});

testCase(async function aborting_a_stream() {
  const stream = await create({ messages: story, stream: true, max_tokens: 256 });
  for await (const chunk of stream) {
    check(chunk.id, chunk);
    stream.controller.abort();
    break;
  }
  checkUsage((await create({ max_tokens: 4 })).usage);
});

testCase(async function list_of_models() {
  const names = [];
  for await (const entry of client.models.list()) names.push(entry.id);
  check(names.includes(model), names);
  check((await client.models.retrieve(model)).id === model, "retrieve");
});

testCase(async function bad_keys() {
  for (const key of ["wrong", "sk-0123456789", `${apiKey}x`, apiKey.slice(0, -1)]) {
    const other = client.withOptions({ apiKey: key });
    const error = await raises(OpenAI.AuthenticationError, () =>
      other.chat.completions.create({ model, messages: question }),
    );
    check(error.status === 401 && error.requestID, error.message);
    check(!error.message.includes(apiKey.split("-")[2]), "the error shows a secret");
    await raises(OpenAI.AuthenticationError, () => other.models.list());
  }
});

testCase(async function unknown_models() {
  for (const name of ["no-such-model", "gpt-4o", "DEMO"]) {
    for (const stream of [false, true]) {
      const error = await raises(OpenAI.NotFoundError, () => create({ model: name, stream }));
      check(error.code === "model_not_found" && error.param === "model", error.message);
    }
  }
});

testCase(async function bad_requests() {
  const rows = [
    ["temperature", { temperature: 9 }],
    ["top_p", { top_p: -1 }],
    ["max_tokens", { max_tokens: 0 }],
    ["messages", { messages: [] }],
    ["messages", { messages: [{ role: "wizard", content: "x" }] }],
    ["stream_options", { stream_options: { include_usage: true } }],
  ];
  for (const [param, changes] of rows) {
    const error = await raises(OpenAI.BadRequestError, () => create(changes));
    check(error.type === "invalid_request_error", error.message);
    check((error.param ?? "").startsWith(param), `${JSON.stringify(changes)}: param ${error.param}`);
    check(error.error.origin === "gateway", error.error);
  }
});

testCase(async function limits_are_told() {
  const limited = client.withOptions({ apiKey: process.env.TALLYGATE_LIMITED_KEY });
  const ask = () => limited.chat.completions.create({ model, messages: question, max_tokens: 2 });
  await ask();
  await ask();
  const error = await raises(OpenAI.RateLimitError, ask);
  const wait = Number(error.headers.get("retry-after"));
  check(wait > 0 && wait <= 60, `retry-after ${wait}`);
  check(error.headers.get("x-ratelimit-remaining-requests") === "0", "remaining");
});

testCase(async function a_retry_after_a_refusal_succeeds() {
  const { counting, seen } = countingFetch();
  const single = new OpenAI({
    baseURL,
    apiKey: process.env.TALLYGATE_SINGLE_KEY,
    maxRetries: 8,
    timeout: 120_000,
    fetch: counting,
  });
  // The only place is taken until this stream has been read.
  const stream = await single.chat.completions.create({
    model, messages: story, stream: true, max_tokens: 256, ignore_eos: true,
  });
  const second = single.chat.completions.create({ model, messages: question, max_tokens: 2 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  let parts = 0;
  for await (const chunk of stream) parts += chunk.choices.length;
  checkUsage((await second).usage);
  const statuses = seen.map((answer) => answer.status);
  check(parts > 1, `${parts} parts`);
  check(statuses[0] === 200 && statuses[1] === 429 && statuses.at(-1) === 200, statuses);
  check(seen[1].headers.get("retry-after-ms") !== null, "a refusal that ends says how long to wait");
});

testCase(async function eight_streams_at_once() {
  const one = async (number) => {
    const messages = [{ role: "user", content: `What is ${number} plus ${number + 1}?` }];
    const request = { messages, max_tokens: 32, temperature: 0 };
    let text = "";
    const stream = await create({ ...request, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    return { request, text };
  };
  const together = await Promise.all(Array.from({ length: 8 }, (_, number) => one(number)));
  for (const { request, text } of together) {
    const alone = (await create(request)).choices[0].message.content;
    check(text === alone, `${text} together, ${alone} alone`);
  }
});

await run();
