// A client whose WebSockets a proxy does not let through, with the transports that it has unless it is told otherwise.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import {backend, client, connected, disconnectAll, event, subscribed} from './place.mjs'

afterEach(disconnectAll)

test('it finds another way by itself', async () => {
  const c = client({enabledTransports: undefined})
  await connected(c)
  assert.equal(c.connection.connection.transport.name, 'xhr_streaming')
  const channel = await subscribed(c, 'private-blocked')
  const got = event(channel, 'x')
  await backend().trigger('private-blocked', 'x', {a: 1})
  assert.deepEqual(await got, {a: 1})
})
