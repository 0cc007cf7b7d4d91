// A client that drops and comes back, with the function of docs/pusher.md and without.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import {backend, client, disconnectAll, event, place, record, relay, settled, subscribed} from './place.mjs'

const {replay} = await import(`${place.docs}/replay.mjs`)

afterEach(disconnectAll)

const range = (from, to) => Array.from({length: to - from}, (_, n) => from + n)

async function publish(channel, from, to) {
  for (let n = from; n < to; n++) await backend().trigger(channel, 'n', n)
}

test('who asks for it gets what it has missed, each event once and in order, over many drops', async () => {
  const r = await relay()
  try {
    const c = client({at: r.port, user: 'bob'})
    replay(c)
    const names = ['replay-a', 'private-replay-b', 'presence-replay-c']
    const got = {}
    for (const name of names) got[name] = record(await subscribed(c, name))
    let sent = 0
    for (let round = 0; round < 8; round++) {
      for (const name of names) await publish(name, sent, sent + 5)
      sent += 5
      if (round % 2) await settled(c).catch(() => {}) // sometimes everything has arrived before the cut
      r.cut()
      for (const name of names) await publish(name, sent, sent + 5)
      sent += 5
      const back = Promise.all(names.map((name) => event(c.channel(name), 'pusher:subscription_succeeded')))
      await back
    }
    const last = Promise.all(names.map((name) => event(c.channel(name), 'n', (n) => n === sent)))
    for (const name of names) await publish(name, sent, sent + 1)
    await last
    for (const name of names) {
      assert.deepEqual(got[name].filter(([e]) => e === 'n').map(([, n]) => n), range(0, sent + 1), name)
      assert.ok(!got[name].some(([e]) => e === 'sno:reset'))
    }
  } finally {
    r.close()
  }
})

test('while it is connected, events that it has sent itself are skipped, also after a drop', async () => {
  const r = await relay()
  try {
    const c = client({at: r.port})
    replay(c)
    const channel = await subscribed(c, 'replay-own')
    const got = record(channel)
    await backend().trigger('replay-own', 'own', 1, {socket_id: c.connection.socket_id})
    await settled(c)
    const back = event(channel, 'pusher:subscription_succeeded')
    r.cut()
    await back
    const other = event(channel, 'other')
    await backend().trigger('replay-own', 'other', 2)
    await other
    assert.deepEqual(got.filter(([e]) => !e.startsWith('sno:')), [['other', 2]])
  } finally {
    r.close()
  }
})

test('who does not ask starts anew, and sees nothing of it', async () => {
  const r = await relay()
  try {
    const c = client({at: r.port})
    const frames = []
    c.connection.bind('message', (m) => frames.push([m.event, m.channel, m.data]))
    const channel = await subscribed(c, 'anew')
    await publish('anew', 0, 1)
    await backend().trigger('anew', 'own', 1, {socket_id: c.connection.socket_id})
    await settled(c)
    const back = event(channel, 'pusher:subscription_succeeded')
    r.cut()
    await publish('anew', 1, 5) // it comes back after a second
    await back
    await publish('anew', 5, 6)
    await settled(c)
    const pong = ['pusher:pong', undefined, {}]
    const succeeded = ['pusher_internal:subscription_succeeded', 'anew', {}]
    assert.deepEqual(frames, [succeeded, ['n', 'anew', 0], pong, succeeded, ['n', 'anew', 5], pong])
  } finally {
    r.close()
  }
})

test('what is not kept any more is not passed over in silence', async () => {
  const r = await relay()
  try {
    const c = client({at: r.port})
    replay(c)
    const channel = await subscribed(c, 'short-a')
    const got = record(channel)
    await publish('short-a', 0, 1)
    await settled(c)
    r.cut()
    await publish('short-a', 1, 10) // the rule keeps three
    const back = event(channel, 'n', (n) => n === 9)
    const reset = await event(channel, 'sno:reset')
    assert.deepEqual(reset, {reason: 'expired'})
    await back
    assert.deepEqual(got.filter(([e]) => !e.includes('position')), [['n', 0], ['sno:reset', {reason: 'expired'}], ['n', 7], ['n', 8], ['n', 9]])
  } finally {
    r.close()
  }
})
