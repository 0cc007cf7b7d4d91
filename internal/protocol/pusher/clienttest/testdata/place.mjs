// What the tests share: the server that they are run against, and clients of it, made as their documentation says.
import assert from 'node:assert/strict'
import {createServer, connect} from 'node:net'
import {once as onceOf} from 'node:events'
import PusherJS from 'pusher-js'
import Server from 'pusher'

// {url, app, key, secret}, and the same of other apps of the server under apps.
export const place = JSON.parse(process.env.PLACE)

const {hostname, port} = new URL(place.url)

// backend is the server library, for an app.
export const backend = (app = place) => new Server({
  appId: app.app, key: app.key, secret: app.secret, host: hostname, port, useTLS: false,
  encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64'),
})

// transport is the one that clients use: ws, xhr_streaming or xhr_polling.
export const transport = process.env.TRANSPORT ?? 'ws'

const clients = []

// client is pusher-js. user is who signs in and is the member of presence channels; port, that of a relay.
export function client({app = place, user = 'ann', watchlist, info, at = port, ...options} = {}) {
  const server = backend(app)
  const c = new PusherJS(app.key, {
    cluster: '', wsHost: hostname, wsPort: at, httpHost: hostname, httpPort: at, forceTLS: false, enabledTransports: [transport],
    channelAuthorization: {
      customHandler: ({socketId, channelName}, done) => {
        const data = channelName.startsWith('presence-') ? {user_id: user, user_info: info ?? {name: `user ${user}`}} : undefined
        done(null, server.authorizeChannel(socketId, channelName, data))
      },
    },
    userAuthentication: {customHandler: ({socketId}, done) => done(null, server.authenticateUser(socketId, {id: user, user_info: info, watchlist}))},
    ...options,
  })
  clients.push(c)
  return c
}

export function disconnectAll() {
  for (const c of clients.splice(0)) c.disconnect()
}

// patience is how long anything may take that is waited for.
const patience = 20_000

export function within(promise, what) {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// event is the data of the next event of that name, or the next of which want is true.
export const event = (of, name, want = () => true) => within(new Promise((resolve) => {
  const heard = (data, meta) => {
    if (!want(data, meta)) return
    of.unbind(name, heard)
    resolve(data)
  }
  of.bind(name, heard)
}), name)

// connected waits until a client is.
export const connected = (c) => c.connection.state === 'connected' ? Promise.resolve() : event(c.connection, 'connected')

// subscribed subscribes and waits for the answer.
export async function subscribed(c, name) {
  const channel = c.subscribe(name)
  if (!channel.subscribed) await event(channel, 'pusher:subscription_succeeded')
  return channel
}

// record keeps the events of a channel that are an app's own, as [event, data].
export function record(channel) {
  const all = []
  channel.bind_global((name, data) => { if (!name.startsWith('pusher')) all.push([name, data]) })
  return all
}

// settled waits until the client has all that was sent to it before.
export async function settled(c) {
  const pong = event(c.connection, 'message', (m) => m.event === 'pusher:pong')
  c.send_event('pusher:ping', {})
  await pong
}

// relay passes connections on to the server, and cuts them when told to.
export async function relay() {
  const open = new Set()
  const listener = createServer((from) => {
    const to = connect(port, hostname)
    for (const [a, b] of [[from, to], [to, from]]) {
      open.add(a)
      a.on('error', () => {})
      a.on('close', () => { open.delete(a); b.destroy() })
      a.pipe(b)
    }
  })
  listener.listen(0, '127.0.0.1')
  await onceOf(listener, 'listening')
  return {
    port: listener.address().port,
    cut: () => { for (const s of open) s.destroy() },
    close: () => { for (const s of open) s.destroy(); listener.close() },
  }
}

export async function fails(promise, status, text) {
  const err = await promise.then(() => assert.fail('it succeeded'), (e) => e)
  assert.equal(err.status, status, `${err.body ?? err}`)
  assert.match(err.body, text)
}
