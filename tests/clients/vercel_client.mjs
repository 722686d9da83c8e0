// The Vercel AI SDK with its provider for OpenAI-compatible services against a running Tallygate.
// Reads TALLYGATE_BASE_URL, TALLYGATE_KEY (no limits) and TALLYGATE_LIMITED_KEY (two requests a minute).

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";

import { check, countingFetch, raises, run, testCase } from "./cases.mjs";

// The SDK would print advice about newer specifications between the cases.
globalThis.AI_SDK_LOG_WARNINGS = false;

const baseURL = process.env.TALLYGATE_BASE_URL;
const question = "What is goodput?";

function provider(settings = {}) {
  return createOpenAICompatible({ name: "tallygate", baseURL, apiKey: process.env.TALLYGATE_KEY, ...settings });
}

const model = provider().chatModel("demo");

function checkUsage(usage) {
  check(usage.inputTokens > 0 && usage.outputTokens > 0, usage);
  check(usage.totalTokens === usage.inputTokens + usage.outputTokens, usage);
}

testCase(async function plain_text() {
  const answer = await generateText({ model, prompt: question, maxOutputTokens: 48, maxRetries: 0 });
  check(answer.text.trim() !== "", "an empty answer");
  check(["stop", "length"].includes(answer.finishReason), answer.finishReason);
  checkUsage(answer.usage);
});

testCase(async function a_conversation_with_a_system_text() {
  const answer = await generateText({
    model,
    system: "Answer in one sentence.",
    messages: [
      { role: "user", content: question },
      { role: "assistant", content: "Goodput counts answers that came in time." },
      { role: "user", content: [{ type: "text", text: "What is a token?" }] },
    ],
    maxOutputTokens: 16,
    maxRetries: 0,
  });
  checkUsage(answer.usage);
});

testCase(async function streamed_text() {
  const result = streamText({ model, prompt: question, temperature: 0, maxOutputTokens: 48, maxRetries: 0 });
  let text = "";
  let parts = 0;
  for await (const piece of result.textStream) {
    text += piece;
    parts += 1;
  }
  check(parts > 1, `${parts} parts`);
  const whole = await generateText({ model, prompt: question, temperature: 0, maxOutputTokens: 48, maxRetries: 0 });
  check(text === whole.text, `streamed ${text}`);
  check(["stop", "length"].includes(await result.finishReason), await result.finishReason);
});

testCase(async function usage_of_a_stream_when_asked_for() {
  const counted = provider({ includeUsage: true }).chatModel("demo");
  const result = streamText({ model: counted, prompt: question, maxOutputTokens: 16, maxRetries: 0 });
  await result.consumeStream();
  checkUsage(await result.usage);
});

testCase(async function aborting_a_stream() {
  const abort = new AbortController();
  const result = streamText({
    model, prompt: "Tell me a short story about a fox.", maxOutputTokens: 256, maxRetries: 0,
    abortSignal: abort.signal, onError() {},
  });
  for await (const piece of result.textStream) {
    check(piece.length > 0, "an empty piece");
    abort.abort();
    break;
  }
  checkUsage((await generateText({ model, prompt: question, maxOutputTokens: 2, maxRetries: 0 })).usage);
});

testCase(async function errors_keep_status_and_message() {
  const rows = [
    [401, { model: provider({ apiKey: "wrong" }).chatModel("demo") }],
    [404, { model: provider().chatModel("no-such-model") }],
    [400, { temperature: 9 }],
  ];
  for (const [status, changes] of rows) {
    const error = await raises(APICallError, () =>
      generateText({ model, prompt: question, maxOutputTokens: 2, maxRetries: 0, ...changes }),
    );
    check(error.statusCode === status && !error.isRetryable, `${error.statusCode}: ${error.message}`);
    check(JSON.parse(error.responseBody).error.message === error.message, error.responseBody);
  }
});

testCase(async function limits_are_told() {
  const { counting, seen } = countingFetch();
  const limited = provider({ apiKey: process.env.TALLYGATE_LIMITED_KEY, fetch: counting }).chatModel("demo");
  const ask = () => generateText({ model: limited, prompt: question, maxOutputTokens: 2, maxRetries: 0 });
  await ask();
  await ask();
  const error = await raises(APICallError, ask);
  check(error.statusCode === 429 && error.isRetryable, `${error.statusCode}`);
  check(Number(error.responseHeaders["retry-after"]) > 0, error.responseHeaders);
  check(seen.map((answer) => answer.status).join() === "200,200,429", seen.map((answer) => answer.status));
});

await run();
