// The official OpenAI client for JavaScript against a Tallygate whose models run on an OpenAI-compatible server.
// Reads TALLYGATE_BASE_URL and TALLYGATE_KEY. The models `tools`, `json`, `embed` and `broken` do what their names say.

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

testCase(async function a_failing_server_is_retried() {
  const { counting, seen } = countingFetch();
  const patient = new OpenAI({ baseURL, apiKey, maxRetries: 2, timeout: 60_000, fetch: counting });
  await raises(OpenAI.InternalServerError, () => patient.chat.completions.create({ model: "broken", messages }));
  const statuses = seen.map((answer) => answer.status);
  check(statuses.length === 3 && statuses.every((status) => status >= 500), statuses);
});

await run();
