import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { base, CITY, CUT, FORECAST, joined, QUEUE, REFUSED, run, user, WEATHER } from './steps.mjs';

const { completions } = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'k', maxRetries: 0 }).chat;
const asked = (content, more) => ({ model: 'big', messages: user(content), ...more });
const tools = [{ type: 'function', function: { name: 'weather', strict: true, parameters: CITY } }];
const response_format = zodResponseFormat(z.object({ city: z.string(), degrees: z.number() }), 'place');
const calls = (message) => message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments)]);

async function* words(content) {
  const stream = await completions.create(asked(content, { stream: true, stream_options: { include_usage: true } }));
  for await (const chunk of stream) yield chunk.choices[0]?.delta?.content ?? '';
}

await run({
  plain: async () => {
    const answer = await completions.create(asked(QUEUE));
    return [answer.choices[0].message.content, answer.usage.total_tokens > 0];
  },
  streamed: () => joined(words(QUEUE)),
  tool: async () => calls((await completions.create(asked(WEATHER, { tools }))).choices[0].message),
  tool_streamed: async () =>
    calls((await completions.stream(asked(WEATHER, { tools })).finalChatCompletion()).choices[0].message),
  structured: async () => (await completions.parse(asked(FORECAST, { response_format }))).choices[0].message.parsed,
  structured_streamed: async () =>
    (await completions.stream(asked(FORECAST, { response_format })).finalChatCompletion()).choices[0].message.parsed,
  refused: () => completions.create(asked(REFUSED)),
  refused_stream: () => joined(words(REFUSED)),
  cut: () => joined(words(CUT)),
});
