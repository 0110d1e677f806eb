// OpenAI's agents with the API that the second argument names: chat or responses. Their tool rounds end with words.
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from '@openai/agents';
import { z } from 'zod';
import { base, CUT, FORECAST, QUEUE, REFUSED, run, WEATHER } from './steps.mjs';

setTracingDisabled(true);
const modelProvider = new OpenAIProvider({ baseURL: `${base}/v1`, apiKey: 'k', useResponses: process.argv[3] === 'responses' });
const runner = new Runner({ modelProvider, model: 'big' });
const asked = [];
const weather = tool({
  name: 'weather',
  description: 'The weather of a city.',
  parameters: z.object({ city: z.string() }),
  execute: async (given) => {
    asked.push(['weather', given]);
    return 'rain';
  },
});
const plain = new Agent({ name: 'a' });
const equipped = new Agent({ name: 'b', tools: [weather] });
const typed = new Agent({ name: 'c', outputType: z.object({ city: z.string(), degrees: z.number() }) });

async function streamed(agent, question) {
  const result = await runner.run(agent, question, { stream: true });
  for await (const _ of result);
  await result.completed;
  return result.finalOutput;
}
const made = async (round) => [await round, asked.splice(0)];

await run({
  plain: async () => {
    const result = await runner.run(plain, QUEUE);
    return [result.finalOutput, result.state.usage.totalTokens > 0];
  },
  streamed: () => streamed(plain, QUEUE),
  tool: async () => (await made(runner.run(equipped, WEATHER)))[1],
  tool_streamed: async () => (await made(streamed(equipped, WEATHER)))[1],
  structured: async () => (await runner.run(typed, FORECAST)).finalOutput,
  structured_streamed: () => streamed(typed, FORECAST),
  refused: () => runner.run(plain, REFUSED),
  refused_stream: () => streamed(plain, REFUSED),
  cut: () => streamed(plain, CUT),
});
