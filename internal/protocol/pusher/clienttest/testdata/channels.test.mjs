// Channels of every kind, by pusher-js and the library for Node.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import {backend, client, disconnectAll, event, place, record, settled, subscribed, within} from './place.mjs'

afterEach(disconnectAll)

test('a public channel: what is published arrives, in order, until it is unsubscribed from', async () => {
  const c = client()
  const channel = await subscribed(c, 'news')
  const got = record(channel)
  const last = event(channel, 'n', (d) => d === 19)
  for (let n = 0; n < 20; n++) await backend().trigger('news', 'n', n)
  await last
  assert.deepEqual(got, Array.from({length: 20}, (_, n) => ['n', n]))
  c.unsubscribe('news')
  await settled(c)
  await backend().trigger('news', 'n', 20)
  await settled(c)
  assert.equal(got.length, 20)
})

test('data of every kind is what was published', async () => {
  const c = client()
  const channel = await subscribed(c, 'data')
  const values = [{a: [1, {b: null}], 'ü': '€ 😀 \u2028'}, [], 'plain text', '"quoted"', '', '{"not json', ' {"with": "space"} ', 12.5, true, null, 'null', '12', 'a\nb\t"c"\\']
  const got = record(channel)
  const end = event(channel, 'end')
  for (const v of values) await backend().trigger('data', 'v', v)
  await backend().trigger('data', 'end', 'end')
  await end
  // pusher-js makes of a string that is JSON what it says.
  const parsed = (v) => { try { return JSON.parse(v) } catch { return v } }
  assert.deepEqual(got.slice(0, -1).map(([, d]) => d), values.map((v) => typeof v === 'string' ? parsed(v) : v))
})

test('who publishes by a connection of its own does not get it', async () => {
  const [one, two] = [client(), client({user: 'bob'})]
  const got = record(await subscribed(one, 'own'))
  const other = record(await subscribed(two, 'own'))
  await backend().trigger(['own', 'own2'], 'mine', 1, {socket_id: one.connection.socket_id})
  await backend().triggerBatch([{channel: 'own', name: 'mine', data: 2, socket_id: one.connection.socket_id}, {channel: 'own', name: 'all', data: 3}])
  await settled(one)
  await settled(two)
  assert.deepEqual(got, [['all', 3]])
  assert.deepEqual(other, [['mine', 1], ['mine', 2], ['all', 3]])
})

test('a private channel needs a signature of an app key', async () => {
  const good = await subscribed(client(), 'private-a')
  const got = event(good, 'x')
  await backend().trigger('private-a', 'x', {y: 1})
  assert.deepEqual(await got, {y: 1})

  const other = backend({...place, secret: 'another secret, of forty characters too!'})
  for (const auth of [(s, n) => other.authorizeChannel(s, n), (s) => backend().authorizeChannel(s, 'private-b'), () => ({auth: `${place.key}:0`}), () => ({auth: ''}), () => ({auth: 'nonsense'})]) {
    const c = client({channelAuthorization: {customHandler: ({socketId, channelName}, done) => done(null, auth(socketId, channelName))}})
    const error = event(c.connection, 'error')
    const refused = await event(c.subscribe('private-a'), 'pusher:subscription_error')
    assert.equal(refused.type, 'AuthError')
    assert.equal(refused.status, 401)
    assert.match(refused.error, /^Invalid signature: Expected HMAC SHA256 hex digest of \d+\.\d+:private-a, but got/)
    assert.deepEqual((await error).data, {code: 4009, message: refused.error})
    await subscribed(c, 'still-works')
  }
})

test('a presence channel: members once each, who comes and who goes', async () => {
  const ann = client({user: 'ann'})
  const channel = await subscribed(ann, 'presence-room')
  assert.equal(channel.members.count, 1)
  assert.deepEqual(channel.members.me, {id: 'ann', info: {name: 'user ann'}})
  const came = record2(channel, 'pusher:member_added')
  const went = record2(channel, 'pusher:member_removed')

  const bob = client({user: 10}) // a number, as ids from databases are
  const ten = await subscribed(bob, 'presence-room')
  assert.deepEqual(Object.keys(ten.members.members).sort(), ['10', 'ann'])
  assert.deepEqual(ten.members.me, {id: 10, info: {name: 'user 10'}})
  await within(came.next, 'a member')
  assert.deepEqual(came.all, [{id: '10', info: {name: 'user 10'}}])

  const again = client({user: 10}) // the same user in another tab
  await subscribed(again, 'presence-room')
  bob.disconnect()
  await backend().trigger('presence-room', 'x', 1)
  await settled(ann)
  assert.equal(came.all.length, 1)
  assert.equal(went.all.length, 0)
  assert.deepEqual((await (await backend().get({path: '/channels/presence-room/users'})).json()).users, [{id: '10'}, {id: 'ann'}])
  again.unsubscribe('presence-room')
  await within(went.next, 'a member going')
  assert.deepEqual(went.all, [{id: '10', info: {name: 'user 10'}}])
  assert.equal(channel.members.count, 1)
})

// record2 keeps the data of events of one name; next is fulfilled with the first.
function record2(channel, name) {
  const r = {all: []}
  r.next = new Promise((resolve) => channel.bind(name, (d) => { r.all.push(d); resolve() }))
  return r
}

test('a cache channel sends its newest event to who subscribes, or says that there is none', async () => {
  const c = client()
  const empty = c.subscribe('cache-a')
  await event(empty, 'pusher:cache_miss')
  await backend().trigger('cache-a', 'old', 1)
  await backend().trigger('cache-a', 'newest', {n: 2})
  for (const name of ['cache-a', 'private-cache-a', 'presence-cache-a']) {
    await backend().trigger(name, 'newest', {n: 2})
    const later = client()
    const order = []
    const channel = later.subscribe(name)
    channel.bind_global((e) => order.push(e))
    assert.deepEqual(await event(channel, 'newest'), {n: 2})
    const live = event(channel, 'live')
    await backend().trigger(name, 'live', 3)
    await live
    assert.deepEqual(order.filter((e) => e !== 'pusher:subscription_count'), ['pusher:subscription_succeeded', 'newest', 'live'])
  }
})

test('an encrypted channel: the server is blind', async () => {
  const c = client()
  const channel = await subscribed(c, 'private-encrypted-x')
  const seen = []
  c.connection.bind('message', (m) => seen.push(JSON.stringify(m)))
  const got = event(channel, 'secret')
  await backend().trigger('private-encrypted-x', 'secret', {pin: 1234})
  assert.deepEqual(await got, {pin: 1234})
  assert.equal(seen.length, 1)
  assert.match(seen[0], /ciphertext/)
  assert.doesNotMatch(seen[0], /1234/)
  const error = event(c.connection, 'error')
  c.send_event('client-x', 1, 'private-encrypted-x') // pusher-js has no other way to do this wrong
  assert.match((await error).data.message, /only supported on private and presence channels/)
})

test('client events: to the others of a channel, from who is in it', async () => {
  const [ann, bob] = [client({user: 'ann'}), client({user: 'bob'})]
  const [mine, theirs] = [await subscribed(ann, 'presence-talk'), await subscribed(bob, 'presence-talk')]
  const own = record(mine)
  const got = new Promise((resolve) => theirs.bind('client-typing', (data, meta) => resolve([data, meta])))
  mine.trigger('client-typing', {to: 'all', n: [1]})
  assert.deepEqual(await within(got, 'client-typing'), [{to: 'all', n: [1]}, {user_id: 'ann'}])
  const text = event(theirs, 'client-text')
  mine.trigger('client-text', 'plain')
  assert.equal(await text, 'plain')
  await settled(ann)
  assert.deepEqual(own, [])

  const refused = async (act, text) => {
    const error = event(ann.connection, 'error')
    act()
    const {data} = await error
    assert.match(data.message, text)
    return data.code
  }
  const open = await subscribed(ann, 'open')
  assert.equal(await refused(() => open.trigger('client-x', 1), /only supported on private and presence channels/), null)
  assert.equal(await refused(() => ann.send_event('client-x', 1, 'private-elsewhere'), /connection not subscribed to channel private-elsewhere/), null)
  assert.equal(await refused(() => ann.send_event('client-x', 1), /must contain channel and data/), null)
  assert.equal(await refused(() => { for (let n = 0; n < 25; n++) mine.trigger('client-x', n) }, /rate limit/), 4301)
})

test('client events are off unless the app has them', async () => {
  const c = client({app: place.apps.plain})
  const channel = await subscribed(c, 'private-a')
  const error = event(c.connection, 'error')
  channel.trigger('client-x', 1)
  assert.match((await error).data.message, /^To send client events, you must enable this feature/)
})

test('how many follow a channel, for an app that wants to know', async () => {
  const c = client({app: place.apps.counted})
  const channel = c.subscribe('counted')
  assert.equal((await event(channel, 'pusher:subscription_count')).subscription_count, 1)
  const two = event(channel, 'pusher:subscription_count')
  const other = client({app: place.apps.counted})
  await subscribed(other, 'counted')
  assert.equal((await two).subscription_count, 2)
  const one = event(channel, 'pusher:subscription_count')
  other.disconnect()
  assert.equal((await one).subscription_count, 1)
  assert.equal(channel.subscriptionCount, 1)
})
