// Users who sign in, by pusher-js and the library for Node.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import {backend, client, connected, disconnectAll, event, place, settled, subscribed} from './place.mjs'

afterEach(disconnectAll)

// signedIn signs a client in and waits for its own channel.
async function signedIn(options) {
  const c = client(options)
  c.signin()
  await event(c.connection, 'message', (m) => m.event === 'pusher_internal:subscription_succeeded' && m.channel === `#server-to-user-${options.user}`)
  return c
}

test('what is sent to a user arrives at all connections of the user, and nowhere else', async () => {
  const [one, two, other] = [await signedIn({user: 'ann'}), await signedIn({user: 'ann'}), await signedIn({user: 'bob'})]
  const got = Promise.all([event(one.user, 'note'), event(two.user, 'note')])
  let wrong = 0
  other.user.bind('note', () => wrong++)
  await backend().sendToUser('ann', 'note', {text: 'hi'})
  assert.deepEqual(await got, [{text: 'hi'}, {text: 'hi'}])
  await settled(other)
  assert.equal(wrong, 0)
})

test('nobody follows the channel of somebody else', async () => {
  for (const c of [client(), await signedIn({user: 'bob'})]) {
    await connected(c)
    for (const [channel, text] of [['#server-to-user-ann', /signed in as its user/], ['#online-ann', /^Invalid channel name/]]) {
      const refused = event(c.connection, 'message', (m) => m.event === 'pusher:subscription_error' && m.channel === channel)
      c.send_event('pusher:subscribe', {channel}) // pusher-js has no other way to do this wrong
      assert.match((await refused).data.error, text)
    }
  }
})

test('a sign-in needs a signature of an app key, and is for good', async () => {
  const c = client()
  await connected(c)
  const send = async (auth) => {
    const error = event(c.connection, 'error')
    c.send_event('pusher:signin', auth)
    return (await error).data
  }
  const other = backend({...place, secret: 'another secret, of forty characters too!'})
  assert.match((await send(other.authenticateUser(c.connection.socket_id, {id: 'ann'}))).message, /^Invalid signature/)
  assert.match((await send({auth: 'x', user_data: 'y'})).message, /^Invalid signature/)
  c.signin()
  await event(c.connection, 'message', (m) => m.event === 'pusher:signin_success')
  assert.match((await send(backend().authenticateUser(c.connection.socket_id, {id: 'bob'}))).message, /signed in as user ann already/)
})

test('a presence channel takes the user who has signed in', async () => {
  const sign = {channelAuthorization: {customHandler: ({socketId, channelName}, done) => done(null, backend().authorizeChannel(socketId, channelName))}}
  const c = await signedIn({user: 'ann', info: {name: 'Ann'}, ...sign})
  const channel = await subscribed(c, 'presence-users')
  assert.deepEqual(channel.members.me, {id: 'ann', info: {name: 'Ann'}})
})

test('who watches others is told who is there, and who comes and goes', async () => {
  const bob = await signedIn({user: 'bob'})
  const ann = client({user: 'ann', watchlist: ['bob', 'cid']})
  const events = []
  for (const name of ['online', 'offline']) ann.user.watchlist.bind(name, (e) => events.push([name, ...e.user_ids]))
  const first = event(ann.connection, 'message', (m) => m.event === 'pusher_internal:watchlist_events' && JSON.stringify(m).includes('cid'))
  ann.signin()
  await first
  assert.deepEqual(events.splice(0).sort(), [['offline', 'cid'], ['online', 'bob']])

  const here = event(ann.user.watchlist, 'online')
  await signedIn({user: 'cid'})
  assert.deepEqual((await here).user_ids, ['cid'])
  const gone = event(ann.user.watchlist, 'offline')
  bob.disconnect()
  assert.deepEqual((await gone).user_ids, ['bob'])
})

test('a watchlist that is too long is cut', async () => {
  const c = client({user: 'many', watchlist: Array.from({length: 101}, (_, n) => `u${n}`)})
  const error = event(c.connection, 'error')
  const first = new Promise((resolve) => c.user.watchlist.bind('offline', (e) => resolve(e.user_ids)))
  c.signin()
  assert.equal((await error).data.code, 4302)
  const watched = await first
  assert.ok(!watched.includes('u100') && watched.length > 0, watched.join())
})

test('terminated connections do not come back', async () => {
  const [ann, bob] = [await signedIn({user: 'ann'}), await signedIn({user: 'bob'})]
  const gone = event(ann.connection, 'disconnected')
  const error = event(ann.connection, 'error', (e) => e.data?.code === 4009)
  await backend().terminateUserConnections('ann')
  await error
  await gone
  await settled(bob)
})
