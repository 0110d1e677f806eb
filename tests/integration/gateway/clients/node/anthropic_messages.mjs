import Anthropic from '@anthropic-ai/sdk';
import { base, CITY, CUT, FORECAST, joined, PLACE, QUEUE, REFUSED, run, user, WEATHER } from './steps.mjs';

const { messages } = new Anthropic({ baseURL: base, apiKey: 'k', maxRetries: 0 });
const asked = (content, more) => ({ model: 'big', max_tokens: 100, messages: user(content), ...more });
const tools = [{ name: 'weather', description: 'The weather of a city.', input_schema: CITY }];
const output_config = { format: { type: 'json_schema', schema: PLACE } };
const calls = (message) => message.content.filter((b) => b.type === 'tool_use').map((b) => [b.name, b.input]);
const text = (message) => message.content.map((b) => b.text ?? '').join('');

async function* words(content) {
  const stream = await messages.create(asked(content, { stream: true }));
  let stopped = false;
  for await (const event of stream) {
    if (event.type === 'content_block_delta') yield event.delta.text;
    stopped ||= event.type === 'message_stop';
  }
  if (!stopped) throw new Error('not stopped');
}

await run({
  plain: async () => {
    const answer = await messages.create(asked(QUEUE));
    return [text(answer), answer.usage.input_tokens > 0];
  },
  streamed: () => joined(words(QUEUE)),
  tool: async () => calls(await messages.create(asked(WEATHER, { tools }))),
  tool_streamed: async () => calls(await messages.stream(asked(WEATHER, { tools })).finalMessage()),
  structured: async () => JSON.parse(text(await messages.create(asked(FORECAST, { output_config })))),
  structured_streamed: async () =>
    JSON.parse(text(await messages.stream(asked(FORECAST, { output_config })).finalMessage())),
  refused: () => messages.create(asked(REFUSED)),
  refused_stream: () => joined(words(REFUSED)),
  cut: () => joined(words(CUT)),
});
