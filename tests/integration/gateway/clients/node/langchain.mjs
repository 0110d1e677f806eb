// LangChain with the protocol that the second argument names: chat, responses or messages.
import { ChatAnthropic } from '@langchain/anthropic';
import { ChatOpenAI } from '@langchain/openai';
import { base, CITY, CUT, FORECAST, joined, PLACE, QUEUE, REFUSED, run, WEATHER } from './steps.mjs';

const model =
  process.argv[3] === 'messages'
    ? new ChatAnthropic({ model: 'big', apiKey: 'k', maxTokens: 100, maxRetries: 0, anthropicApiUrl: base })
    : new ChatOpenAI({
        model: 'big',
        apiKey: 'k',
        maxRetries: 0,
        useResponsesApi: process.argv[3] === 'responses',
        configuration: { baseURL: `${base}/v1` },
      });
const schema = { name: 'place', description: 'A place.', ...PLACE, title: 'place' };
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather.', parameters: CITY } }];
const calls = (message) => message.tool_calls.map((c) => [c.name, c.args]);

async function whole(runnable, prompt) {
  let message;
  for await (const chunk of await runnable.stream(prompt)) message = message ? message.concat(chunk) : chunk;
  return message;
}

async function* words(prompt) {
  for await (const chunk of await model.stream(prompt)) yield chunk.text;
}

await run({
  plain: async () => {
    const answer = await model.invoke(QUEUE);
    return [answer.text, answer.usage_metadata.total_tokens > 0];
  },
  streamed: () => joined(words(QUEUE)),
  tool: async () => calls(await model.bindTools(tools).invoke(WEATHER)),
  tool_streamed: async () => calls(await whole(model.bindTools(tools), WEATHER)),
  structured: () => model.withStructuredOutput(schema).invoke(FORECAST),
  refused: () => model.invoke(REFUSED),
  refused_stream: () => joined(words(REFUSED)),
  cut: () => joined(words(CUT)),
});
