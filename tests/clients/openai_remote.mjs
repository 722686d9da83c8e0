// The official OpenAI client for JavaScript against a Tallygate whose models run on an OpenAI-compatible server.
// Reads TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget pays for nothing. The models `tools`,
// `json`, `embed` and `broken` do what their names say; `flaky` answers at the third time, and nobody can pay for `dear`.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { check, countingFetch, raises, run, testCase } from "./cases.mjs";

const baseURL = process.env.TALLYGATE_BASE_URL;
const apiKey = process.env.TALLYGATE_KEY;
const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });

function checkCall(choice) {
  check(choice.finish_reason === "tool_calls", choice);
  const call = choice.message.tool_calls[0].function;
  check(call.name === "weather" && JSON.parse(call.arguments).city === "Paris", choice);
}

testCase(async function tools() {
  const answer = await client.chat.completions.create({ model: "tools", messages, tools: [weather] });
  checkCall(answer.choices[0]);
});

testCase(async function streamed_tools() {
  const runner = client.chat.completions.stream({ model: "tools", messages, tools: [weather] });
  checkCall((await runner.finalChatCompletion()).choices[0]);
});

testCase(async function structured_output() {
  const place = z.object({ city: z.string() });
  const answer = await client.chat.completions.parse({
    model: "json", messages, response_format: zodResponseFormat(place, "place"),
  });
  check(answer.choices[0].message.parsed.city === "Paris", answer.choices);
});

testCase(async function embeddings() {
  const answer = await client.embeddings.create({ model: "embed", input: ["one", "two"], encoding_format: "float" });
  check(answer.data.length === 2 && answer.data[1].embedding.join() === "0.5,-0.25,1", answer);
  check(answer.usage.prompt_tokens > 0, answer.usage);
});

testCase(async function responses_with_tools() {
  const tools = [{ type: "function", strict: false, ...weather.function }];
  const request = { model: "tools", input: messages, tools };
  const whole = await client.responses.create(request);
  const stream = client.responses.stream(request);
  const kinds = [];
  for await (const event of stream) kinds.push(event.type);
  for (const response of [whole, await stream.finalResponse()]) {
    const call = response.output.find((item) => item.type === "function_call");
    check(call.name === "weather" && JSON.parse(call.arguments).city === "Paris", response);
    check(response.usage.total_tokens > 0, response.usage);
  }
  check(kinds[0] === "response.created" && kinds.at(-1) === "response.completed", kinds);
  const result = { type: "function_call_output", call_id: whole.output.at(-1).call_id, output: "sunny" };
  const answer = await client.responses.create({
    model: "json", previous_response_id: whole.id, input: [result], tools,
  });
  check(JSON.parse(answer.output_text).city === "Paris", answer);
});

testCase(async function errors_of_the_backend() {
  const error = await raises(OpenAI.BadRequestError, () => client.chat.completions.create({ model: "hot", messages }));
  check(error.code === "backend_refused" && error.param === "temperature", error.error);
  check(error.error.origin === "backend" && error.message.includes("too hot"), error.error);
});

testCase(async function a_busy_server_is_retried_until_it_answers() {
  const { counting, seen } = countingFetch();
  const patient = new OpenAI({ baseURL, apiKey, maxRetries: 2, timeout: 60_000, fetch: counting });
  const answer = await patient.chat.completions.create({ model: "flaky", messages });
  check(answer.choices[0].message.content === "at last", answer);
  const statuses = seen.map((answer) => answer.status);
  check(statuses.join() === "503,503,200", statuses);
});

testCase(async function what_no_retry_can_help_is_not_retried() {
  const { counting, seen } = countingFetch();
  const apiKey = process.env.TALLYGATE_POOR_KEY;
  const poor = new OpenAI({ baseURL, apiKey, maxRetries: 2, timeout: 60_000, fetch: counting });
  const error = await raises(OpenAI.RateLimitError, () => poor.chat.completions.create({ model: "dear", messages }));
  check(error.code === "budget_exceeded" && error.headers.get("x-should-retry") === "false", error.error);
  const statuses = seen.map((answer) => answer.status);
  check(statuses.join() === "429", statuses);
});

testCase(async function a_failing_server_is_retried() {
  const { counting, seen } = countingFetch();
  const patient = new OpenAI({ baseURL, apiKey, maxRetries: 2, timeout: 60_000, fetch: counting });
  await raises(OpenAI.InternalServerError, () => patient.chat.completions.create({ model: "broken", messages }));
  const statuses = seen.map((answer) => answer.status);
  check(statuses.length === 3 && statuses.every((status) => status >= 500), statuses);
});

await run();
