import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { base, CITY, CUT, FORECAST, joined, QUEUE, REFUSED, run, WEATHER } from './steps.mjs';

const { responses } = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'k', maxRetries: 0 });
const asked = (input, more) => ({ model: 'big', input, ...more });
const tools = [{ type: 'function', name: 'weather', strict: true, parameters: CITY }];
const text = { format: zodTextFormat(z.object({ city: z.string(), degrees: z.number() }), 'place') };
const calls = (response) =>
  response.output.filter((i) => i.type === 'function_call').map((i) => [i.name, JSON.parse(i.arguments)]);

async function* words(input) {
  const stream = await responses.create(asked(input, { stream: true }));
  let completed = false;
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') yield event.delta;
    if (event.type === 'response.failed') throw new Error(event.response.error.message);
    completed ||= event.type === 'response.completed';
  }
  if (!completed) throw new Error('not completed');
}

await run({
  plain: async () => {
    const answer = await responses.create(asked(QUEUE));
    return [answer.output_text, answer.usage.total_tokens > 0];
  },
  streamed: () => joined(words(QUEUE)),
  tool: async () => calls(await responses.create(asked(WEATHER, { tools }))),
  tool_streamed: async () => calls(await responses.stream(asked(WEATHER, { tools })).finalResponse()),
  structured: async () => (await responses.parse(asked(FORECAST, { text }))).output_parsed,
  structured_streamed: async () => (await responses.stream(asked(FORECAST, { text })).finalResponse()).output_parsed,
  refused: () => responses.create(asked(REFUSED)),
  refused_stream: () => joined(words(REFUSED)),
  cut: () => joined(words(CUT)),
});
