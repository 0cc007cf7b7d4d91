// The HTTP API, by the library for Node, and by hand where a library would not let one do wrong.
import assert from 'node:assert/strict'
import {createHash, createHmac} from 'node:crypto'
import {afterEach, test} from 'node:test'
import {backend, client, disconnectAll, event, fails, place, record, settled, subscribed} from './place.mjs'

afterEach(disconnectAll)

// call signs a request by hand; change has the last word on its parameters.
async function call(method, path, body, {app = place, change = (p) => p, headers = {}} = {}) {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body)
  const full = `/apps/${app.app}${path}`
  let params = {auth_key: app.key, auth_timestamp: `${Math.floor(Date.now() / 1000)}`, auth_version: '1.0'}
  if (text) params.body_md5 = createHash('md5').update(text).digest('hex')
  params = change(params)
  const query = Object.keys(params).map((k) => `${k.toLowerCase()}=${params[k]}`).sort().join('&')
  const signature = params.auth_signature ?? createHmac('sha256', app.secret).update(`${method}\n${full}\n${query}`).digest('hex')
  const sent = Object.keys(params).map((k) => `${k}=${encodeURIComponent(params[k])}`).join('&')
  const res = await fetch(`${place.url}${full}?${sent}&auth_signature=${signature}`, {method, body: text || undefined, headers: {'Content-Type': 'application/json', ...headers}})
  return {status: res.status, type: res.headers.get('content-type'), text: await res.text()}
}

const hello = (more) => ({name: 'x', channel: 'api', data: '1', ...more})

test('answers are those of Pusher', async () => {
  const server = backend()
  const read = async (res) => (await res).json()
  assert.deepEqual(await read(server.trigger('api', 'x', {a: 1})), {})
  assert.deepEqual(await read(server.triggerBatch([{channel: 'api', name: 'x', data: 1}])), {})
  const c = client()
  await subscribed(c, 'api')
  await subscribed(c, 'presence-api')
  assert.deepEqual(await read(server.trigger(['api', 'presence-api'], 'x', 1, {info: 'subscription_count'})), {channels: {api: {subscription_count: 1}, 'presence-api': {subscription_count: 1}}})
  assert.deepEqual(await read(server.trigger('presence-api', 'x', 1, {info: 'user_count,subscription_count'})), {channels: {'presence-api': {user_count: 1, subscription_count: 1}}})
  assert.deepEqual(await read(server.triggerBatch([{channel: 'presence-api', name: 'x', data: 1, info: 'user_count'}, {channel: 'api', name: 'x', data: 1}])), {batch: [{user_count: 1}, {}]})
  assert.deepEqual((await read(server.get({path: '/channels'}))).channels.api, {})
  assert.deepEqual(await read(server.get({path: '/channels', params: {filter_by_prefix: 'presence-', info: 'user_count'}})), {channels: {'presence-api': {user_count: 1}}})
  assert.deepEqual(await read(server.get({path: '/channels/api'})), {occupied: true})
  assert.deepEqual(await read(server.get({path: '/channels/nobody'})), {occupied: false})
  assert.deepEqual(await read(server.get({path: '/channels/presence-api', params: {info: 'user_count'}})), {occupied: true, user_count: 1})
  assert.deepEqual(await read(server.get({path: '/channels/cache-none', params: {info: 'cache'}})), {occupied: false, cache: null})
  await server.trigger('cache-some', 'x', {a: 1})
  const {cache} = await read(server.get({path: '/channels/cache-some', params: {info: 'cache'}}))
  assert.equal(cache.data, '{"a":1}')
  assert.ok(cache.ttl > 1700 && cache.ttl <= 1800, cache.ttl)
})

test('what is wrong has a real status, and a text that says what', async () => {
  const server = backend()
  await fails(server.get({path: '/channels', params: {info: 'user_count'}}), 400, /filter_by_prefix=presence-/)
  await fails(server.get({path: '/channels/api', params: {info: 'user_count'}}), 400, /no attribute of channel/)
  await fails(server.get({path: '/channels/api/users'}), 400, /only for presence channels/)
  await fails(server.post({path: '/events', body: hello({name: ''})}), 400, /Invalid event name/)
  await fails(server.post({path: '/events', body: hello({name: 'pusher:error'})}), 400, /Invalid event name/)
  await fails(server.post({path: '/events', body: hello({name: 'pusher_internal:member_added'})}), 400, /Invalid event name/)
  await fails(server.post({path: '/events', body: {name: 'x', channel: 'api'}}), 400, /data/)
  await fails(server.post({path: '/events', body: hello({channel: ''})}), 400, /channel/)
  await fails(server.post({path: '/events', body: hello({channel: '#online-ann'})}), 400, /Invalid channel name/)
  await fails(server.post({path: '/events', body: hello({socket_id: 'nonsense'})}), 400, /Invalid socket id/)
  await fails(server.post({path: '/events', body: {name: 'x', channels: Array.from({length: 101}, (_, n) => `c${n}`), data: '1'}}), 400, /100/)
  await fails(server.post({path: '/batch_events', body: {batch: Array.from({length: 101}, () => hello())}}), 400, /1 to 100 events/)
  await fails(server.post({path: '/batch_events', body: {batch: []}}), 400, /1 to 100 events/)
  await fails(server.post({path: '/events', body: hello({data: 'x'.repeat(1 << 20)})}), 413, /limits.message_bytes/)
  assert.equal((await call('POST', '/events', '{"name":')).status, 400)
})

test('what is refused for what it asks is not published', async () => {
  const c = client()
  const got = record(await subscribed(c, 'asked'))
  await fails(backend().trigger('asked', 'x', 1, {info: 'user_count'}), 400, /no attribute of channel/)
  await fails(backend().triggerBatch([{channel: 'asked', name: 'x', data: 1}, {channel: 'asked', name: 'x', data: 1, info: 'cache'}]), 400, /no attribute of channel/)
  await settled(c)
  assert.deepEqual(got, [])
})

test('a large message arrives, as it would not with Pusher', async () => {
  const channel = await subscribed(client(), 'large')
  const got = event(channel, 'x')
  const data = 'x'.repeat(1_000_000)
  await backend().trigger('large', 'x', data)
  assert.equal(await got, data)
})

test('strict limits are those of Pusher', async () => {
  const server = backend(place.apps.strict)
  await server.trigger('ok', 'x', 'y'.repeat(10240))
  await fails(server.trigger('ok', 'x', 'y'.repeat(10241)), 413, /exceeds the allowed maximum/)
  await fails(server.triggerBatch(Array.from({length: 11}, () => ({channel: 'ok', name: 'x', data: 1}))), 400, /1 to 10 events/)
  await fails(server.post({path: '/events', body: hello({channel: 'a:b'})}), 400, /Invalid channel name/)
  await fails(server.post({path: '/events', body: hello({channel: 'a'.repeat(165)})}), 400, /Invalid channel name/)
  await fails(server.post({path: '/events', body: hello({data: {a: 1}})}), 400, /data must be a string/)
})

test('every request is signed, lately, by a key of its app', async () => {
  assert.equal((await call('POST', '/events', hello())).status, 200)
  const wrong = async (options, text, body = hello()) => {
    const {status, type, text: got} = await call('POST', '/events', body, options)
    assert.equal(status, 401, got)
    assert.match(type, /^text\/plain/)
    assert.match(got, text)
  }
  const old = `${Math.floor(Date.now() / 1000) - 700}`
  await wrong({app: {...place, secret: 'x'}}, /^Invalid signature: you should have sent HmacSHA256Hex\("POST\\n\/apps\//)
  await wrong({change: (p) => ({...p, auth_signature: 'zz'})}, /^Invalid signature/)
  await wrong({change: ({auth_key, ...p}) => p}, /^Unknown auth_key/)
  await wrong({change: (p) => ({...p, auth_key: 'nobody'})}, /^Unknown auth_key/)
  await wrong({app: {...place, app: place.apps.plain.app}}, /^Unknown auth_key/)
  await wrong({change: (p) => ({...p, auth_timestamp: old})}, new RegExp(`^Timestamp expired: Given timestamp \\(${old}\\) not within 600s of server time`))
  await wrong({change: (p) => ({...p, auth_version: '2.0'})}, /^Invalid auth_version/)
  await wrong({change: (p) => ({...p, body_md5: '0'.repeat(32)})}, /^Invalid body_md5/)
  await wrong({change: ({body_md5, ...p}) => p}, /^Invalid body_md5/)
})

test('parameters are signed by name in lower case and order, as they are behind their escapes', async () => {
  const ok = await call('GET', '/channels', undefined, {change: (p) => ({...p, Filter_By_Prefix: 'presence-a b+c%', info: 'user_count'})})
  assert.deepEqual([ok.status, ok.text], [200, '{"channels":{}}'])
})

test('a request that is repeated with the same key publishes once', async () => {
  const c = client()
  const got = record(await subscribed(c, 'once'))
  for (const [headers, id] of [[{'Idempotency-Key': 'k1'}, undefined], [{}, 'k2']]) {
    for (let n = 0; n < 3; n++) {
      const {status, text} = await call('POST', '/events', {name: 'x', channel: 'once', data: `"${n} ${id}"`, id}, {headers})
      assert.deepEqual([status, text], [200, '{}'])
    }
  }
  const batch = {batch: [{name: 'b', channel: 'once', data: '1'}, {name: 'b', channel: 'once', data: '2'}]}
  for (let n = 0; n < 2; n++) assert.equal((await call('POST', '/batch_events', batch, {headers: {'Idempotency-Key': 'k3'}})).status, 200)
  await settled(c)
  assert.deepEqual(got, [['x', '0 undefined'], ['x', '0 k2'], ['b', 1], ['b', 2]])
})

test('the same event twice in a second is two events', async () => {
  const c = client()
  const got = record(await subscribed(c, 'twice'))
  const same = {change: (p) => ({...p, auth_timestamp: `${Math.floor(Date.now() / 1000 - 2)}`})}
  for (let n = 0; n < 3; n++) assert.equal((await call('POST', '/events', {name: 'tick', channel: 'twice', data: '{}'}, same)).status, 200)
  await settled(c)
  assert.equal(got.length, 3)
})

test('the old path of events', async () => {
  const channel = await subscribed(client(), 'old')
  const got = event(channel, 'x')
  const {status, text} = await call('POST', '/channels/old/events', '{"a":1}', {change: (p) => ({...p, name: 'x'})})
  assert.deepEqual([status, text], [200, '{}'])
  assert.deepEqual(await got, {a: 1})
})
