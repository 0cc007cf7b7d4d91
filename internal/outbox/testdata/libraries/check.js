// Checks requests, one a line of JSON on standard input, with the libraries that backends use, and prints what they make of each.
const { createInterface } = require('node:readline')
const { Webhook } = require('standardwebhooks')
const Pusher = require('pusher')

function standard({ headers, body, secrets }) {
  for (const secret of secrets) {
    try {
      return new Webhook(secret).verify(body, headers)
    } catch (e) {
      if (secret === secrets.at(-1)) return e.message
    }
  }
}

function pusher({ headers, body, key, secret }) {
  const webhook = new Pusher({ appId: '1', key, secret, host: 'localhost' }).webhook({ headers, rawBody: body })
  return webhook.isValid() ? { time: webhook.getTime().getTime(), events: webhook.getEvents() } : 'not valid'
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line)
  console.log(JSON.stringify(request.key ? pusher(request) : standard(request)))
})
