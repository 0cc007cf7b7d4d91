// A backend: takes webhooks by the libraries that backends have, at /native and /pusher, and prints the events of each request that these vouch for as a line of JSON. Of
// seven requests it refuses one, and takes another without saying so.
const { createServer } = require('node:http')
const { Webhook } = require('standardwebhooks')
const Pusher = require('pusher')

const { PORT, WEBHOOK_SECRET, APP_KEY, APP_SECRET } = process.env
const standard = new Webhook(WEBHOOK_SECRET)
const pusher = new Pusher({ appId: '1', key: APP_KEY, secret: APP_SECRET, host: 'localhost' })

const read = {
  '/native': (headers, body) => [standard.verify(body, headers)].map(({ type, data }) => ({ id: data.id, type, channel: data.channel, member: data.member })),
  '/pusher': (headers, rawBody) => {
    const webhook = pusher.webhook({ headers, rawBody })
    if (!webhook.isValid()) throw new Error('not valid')
    return webhook.getEvents().map(({ name, channel, user_id }) => ({ type: name, channel, member: user_id }))
  },
}

let requests = 0
createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  const n = requests++ % 7
  if (n === 3) return response.writeHead(503).end()
  try {
    console.log(JSON.stringify({ at: request.url, events: read[request.url](request.headers, body) }))
    response.writeHead(n === 5 ? 500 : 204).end()
  } catch (e) {
    console.log(JSON.stringify({ at: request.url, error: e.message }))
    response.writeHead(401).end()
  }
}).listen(PORT, '127.0.0.1', () => console.log(JSON.stringify({ at: 'listening' })))
