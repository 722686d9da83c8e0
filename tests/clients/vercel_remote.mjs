// The Vercel AI SDK against a Tallygate whose models run on an OpenAI-compatible server.
// Reads TALLYGATE_BASE_URL, TALLYGATE_KEY and TALLYGATE_POOR_KEY, whose budget pays for nothing. The models `tools`,
// `json`, `embed` and `broken` do what their names say; `flaky` answers at the third time, and nobody can pay for `dear`.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, RetryError, streamText, tool } from "ai";
import { z } from "zod";

import { check, countingFetch, raises, run, testCase } from "./cases.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const prompt = "What is the weather in Paris?";
const tools = { weather: tool({ description: "The weather in a city.", inputSchema: z.object({ city: z.string() }) }) };

function provider(settings = {}) {
  return createOpenAICompatible({
    name: "tallygate", baseURL: process.env.TALLYGATE_BASE_URL, apiKey: process.env.TALLYGATE_KEY,
    supportsStructuredOutputs: true, ...settings,
  });
}

testCase(async function tools_are_called() {
  const answer = await generateText({ model: provider().chatModel("tools"), prompt, tools, maxRetries: 0 });
  check(answer.finishReason === "tool-calls", answer.finishReason);
  check(answer.toolCalls[0].toolName === "weather" && answer.toolCalls[0].input.city === "Paris", answer.toolCalls);
});

testCase(async function streamed_tools_are_called() {
  const result = streamText({ model: provider().chatModel("tools"), prompt, tools, maxRetries: 0 });
  await result.consumeStream();
  const calls = await result.toolCalls;
  check(calls.length === 1 && calls[0].input.city === "Paris", calls);
});

testCase(async function an_object() {
  const schema = z.object({ city: z.string() });
  const answer = await generateObject({ model: provider().chatModel("json"), schema, prompt, maxRetries: 0 });
  check(answer.object.city === "Paris", answer.object);
});

testCase(async function embeddings() {
  const model = provider().embeddingModel("embed");
  const { embeddings } = await embedMany({ model, values: ["one", "two"], maxRetries: 0 });
  check(embeddings.length === 2 && embeddings[0].join() === "0.5,-0.25,1", embeddings);
});

testCase(async function errors_of_the_backend() {
  const model = provider().chatModel("hot");
  const error = await raises(APICallError, () => generateText({ model, prompt, maxRetries: 2 }));
  check(error.statusCode === 400 && !error.isRetryable && error.message.includes("too hot"), error.message);
  check(JSON.parse(error.responseBody).error.origin === "backend", error.responseBody);
});

testCase(async function a_busy_server_is_retried_until_it_answers() {
  const { counting, seen } = countingFetch();
  const model = provider({ fetch: counting }).chatModel("flaky");
  check((await generateText({ model, prompt, maxRetries: 2 })).text === "at last", "another answer");
  const statuses = seen.map((answer) => answer.status);
  check(statuses.join() === "503,503,200", statuses);
});

testCase(async function a_spent_budget_says_that_no_retry_helps() {
  // This client does not look at it by itself; whoever uses it can.
  const model = provider({ apiKey: process.env.TALLYGATE_POOR_KEY }).chatModel("dear");
  const error = await raises(APICallError, () => generateText({ model, prompt, maxRetries: 0 }));
  check(error.statusCode === 429 && error.responseHeaders["x-should-retry"] === "false", error.responseHeaders);
});

testCase(async function a_failing_server_is_retried() {
  const { counting, seen } = countingFetch();
  const model = provider({ fetch: counting }).chatModel("broken");
  await raises(RetryError, () => generateText({ model, prompt, maxRetries: 1 }));
  const statuses = seen.map((answer) => answer.status);
  check(statuses.length === 2 && statuses.every((status) => status >= 500), statuses);
});

await run();
