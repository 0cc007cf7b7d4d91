// How connections begin and end, by pusher-js.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import {client, connected, disconnectAll, event, place, relay, settled, subscribed} from './place.mjs'

afterEach(disconnectAll)

test('an unknown key ends it for good', async () => {
  const c = client({app: {...place, key: 'nobody'}})
  const error = event(c.connection, 'error')
  await event(c.connection, 'disconnected')
  assert.equal((await error).error.data.code, 4001)
})

test('a client notices a connection that has gone, and comes back to its channels', async () => {
  const r = await relay()
  try {
    const c = client({at: r.port})
    const channel = await subscribed(c, 'back')
    const first = c.connection.socket_id
    assert.match(first, /^\d+\.\d+$/)
    const again = event(channel, 'pusher:subscription_succeeded')
    r.cut()
    await again
    assert.notEqual(c.connection.socket_id, first)
  } finally {
    r.close()
  }
})

test('a silent client asks whether the server is there, and is answered', async () => {
  const c = client({activityTimeout: 50})
  await connected(c)
  await event(c.connection, 'message', (m) => m.event === 'pusher:pong')
  assert.equal(c.connection.state, 'connected')
})

test('a connection that shows no signature in half a minute ends for good, if its app wants one', async () => {
  const c = client({app: place.apps.guarded})
  const stays = client({app: place.apps.guarded})
  await subscribed(stays, 'private-a')
  const errors = []
  c.connection.bind('error', (e) => errors.push(e.data?.code))
  const began = Date.now()
  await new Promise((resolve, reject) => {
    c.connection.bind('disconnected', resolve)
    setTimeout(reject, 60_000, new Error('it goes on')).unref()
  })
  assert.ok(Date.now() - began > 25_000)
  assert.deepEqual(errors.slice(0, 1), [4009])
  await settled(stays)
})
