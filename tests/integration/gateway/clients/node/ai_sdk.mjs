// The AI SDK with the provider that the second argument names: chat, compatible, responses or messages.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, Output, streamText, tool } from 'ai';
import { base, CITY, CUT, FORECAST, joined, PLACE, QUEUE, REFUSED, run, WEATHER } from './steps.mjs';

const at = { baseURL: `${base}/v1`, apiKey: 'k' };
const model = {
  chat: () => createOpenAI(at).chat('big'),
  responses: () => createOpenAI(at).responses('big'),
  messages: () => createAnthropic(at)('big'),
  compatible: () =>
    createOpenAICompatible({ ...at, name: 'gateway', includeUsage: true, supportsStructuredOutputs: true }).chatModel('big'),
}[process.argv[3]]();
const tools = { weather: tool({ description: 'The weather of a city.', inputSchema: jsonSchema(CITY) }) };
const asked = (prompt, more) => ({ model, prompt, maxRetries: 0, ...more });
const output = Output.object({ schema: jsonSchema(PLACE) });
const calls = (made) => made.map((c) => [c.toolName, c.input]);

async function parts(prompt, more) {
  const stream = streamText(asked(prompt, { ...more, onError: () => {} }));
  const made = { text: '', calls: [] };
  for await (const part of stream.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'text-delta') made.text += part.text;
    if (part.type === 'tool-call') made.calls.push(part);
    if (part.type === 'finish' && ['error', 'unknown', 'other'].includes(part.finishReason)) throw new Error(part.finishReason);
  }
  return made;
}

await run({
  plain: async () => {
    const answer = await generateText(asked(QUEUE));
    return [answer.text, answer.usage.totalTokens > 0];
  },
  streamed: async () => (await parts(QUEUE)).text,
  tool: async () => calls((await generateText(asked(WEATHER, { tools }))).toolCalls),
  tool_streamed: async () => calls((await parts(WEATHER, { tools })).calls),
  structured: async () => (await generateText(asked(FORECAST, { output }))).output,
  structured_streamed: async () => JSON.parse((await parts(FORECAST, { output })).text),
  refused: () => generateText(asked(REFUSED)),
  refused_stream: async () => (await parts(REFUSED)).text,
  cut: async () => (await parts(CUT)).text,
});
