// The questions that every client asks, and how their answers are written down: one JSON object on the last line.

export const base = process.argv[2]; // without /v1; the third argument names a protocol
export const QUEUE = 'Which queue?';
export const WEATHER = 'Weather in Köln?';
export const FORECAST = 'Forecast for Köln, as JSON.';
export const REFUSED = 'Refuse this.';
export const CUT = 'Break off.';
export const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const PLACE = {
  type: 'object',
  properties: { city: { type: 'string' }, degrees: { type: 'number' } },
  required: ['city', 'degrees'],
  additionalProperties: false,
};
export const user = (content) => [{ role: 'user', content }];

export async function joined(parts) {
  let text = '';
  for await (const part of parts) text += part;
  return text;
}

export async function run(steps) {
  const said = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      said[name] = await step();
    } catch (thrown) {
      const status = thrown.status ?? thrown.statusCode ?? thrown.lastError?.statusCode ?? null;
      said[name] = { thrown: thrown.constructor.name, status, message: String(thrown.message) };
    }
  }
  console.log(JSON.stringify(said));
}
