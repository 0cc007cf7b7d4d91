// Webhooks: what clients do, as a backend with Pusher's library for Node is told of it.
import assert from 'node:assert/strict'
import {setTimeout as sleep} from 'node:timers/promises'
import {afterEach, test} from 'node:test'
import {backend, client, disconnectAll, event, place, subscribed, within} from './place.mjs'

afterEach(disconnectAll)

// told is what the backend has been told of a channel.
async function told(channel) {
  const deliveries = await (await fetch(place.backend)).json() ?? []
  return deliveries.flatMap((d) => {
    const hook = backend().webhook(d)
    assert.ok(hook.isValid(), `the signature of ${d.rawBody}`)
    assert.ok(Math.abs(hook.getTime() - Date.now()) < 60_000)
    return hook.getEvents()
  }).filter((e) => e.channel === channel)
}

// toldOf waits until the backend has been told of n events of a channel.
const toldOf = (channel, n) => within((async () => {
  for (;;) {
    const events = await told(channel)
    if (events.length >= n) return events
    await sleep(50)
  }
})(), `${n} events of ${channel}`)

test('a channel is occupied and vacated, and its count changes', async () => {
  const channel = 'told'
  const [one, two] = [client(), client({user: 'bob'})]
  await subscribed(one, channel)
  await toldOf(channel, 2)
  await subscribed(two, channel)
  await toldOf(channel, 3)
  two.unsubscribe(channel)
  await toldOf(channel, 4)
  one.disconnect()
  assert.deepEqual(await toldOf(channel, 6), [
    {name: 'channel_occupied', channel},
    {name: 'subscription_count', channel, subscription_count: 1},
    {name: 'subscription_count', channel, subscription_count: 2},
    {name: 'subscription_count', channel, subscription_count: 1},
    {name: 'subscription_count', channel, subscription_count: 0},
    {name: 'channel_vacated', channel},
  ])
})

test('members come and go, once for each user', async () => {
  const channel = 'presence-told'
  const [ann, again, bob] = [client(), client(), client({user: 'bob'})]
  for (const c of [ann, again, bob]) await subscribed(c, channel)
  await toldOf(channel, 3)
  bob.unsubscribe(channel)
  await toldOf(channel, 4)
  for (const c of [again, ann]) c.unsubscribe(channel)
  const events = await toldOf(channel, 6)
  const of = (...names) => events.filter((e) => names.includes(e.name))
  assert.deepEqual(of('channel_occupied', 'channel_vacated'), [{name: 'channel_occupied', channel}, {name: 'channel_vacated', channel}])
  assert.deepEqual(of('member_added', 'member_removed'), [
    {name: 'member_added', channel, user_id: 'ann'}, {name: 'member_added', channel, user_id: 'bob'},
    {name: 'member_removed', channel, user_id: 'bob'}, {name: 'member_removed', channel, user_id: 'ann'},
  ])
  assert.equal(events.length, 6)
})

test('client events, with who has sent them', async () => {
  for (const [channel, who] of [['private-said', {}], ['presence-said', {user_id: 'ann'}]]) {
    const c = client()
    const at = await subscribed(c, channel)
    for (const data of [{text: 'hi'}, 'plain']) assert.ok(at.trigger('client-said', data))
    const said = async () => (await told(channel)).filter((e) => e.name === 'client_event')
    await within((async () => { while ((await said()).length < 2) await sleep(50) })(), 'client events')
    assert.deepEqual(await said(), ['{"text":"hi"}', 'plain'].map((data) => ({
      name: 'client_event', channel, event: 'client-said', data, socket_id: c.connection.socket_id, ...who,
    })))
  }
})

test('a cache channel that has nothing', async () => {
  const channel = 'cache-told'
  await subscribed(client(), channel)
  const missed = async () => (await told(channel)).filter((e) => e.name === 'cache_miss')
  await within((async () => { while ((await missed()).length < 1) await sleep(50) })(), 'a cache miss')
  assert.deepEqual(await missed(), [{name: 'cache_miss', channel}])
  await backend().trigger(channel, 'x', 1)
  await subscribed(client({user: 'bob'}), channel)
  await toldOf(channel, 4) // occupied, count, miss, count
  assert.equal((await missed()).length, 1)
})

test('who is watched and what is sent to users are no channels to the backend', async () => {
  const c = client({user: 'cid', watchlist: ['dan']})
  c.signin()
  await event(c.connection, 'message', (m) => m.event === 'pusher_internal:subscription_succeeded' && m.channel === '#server-to-user-cid')
  await subscribed(c, 'told-after')
  await toldOf('told-after', 1)
  assert.deepEqual(await told('#online-cid'), [])
  assert.deepEqual(await told('#server-to-user-cid'), [])
})
