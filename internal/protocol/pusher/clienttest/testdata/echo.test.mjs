// Laravel Echo, which people use with Pusher, soketi and Reverb.
import assert from 'node:assert/strict'
import {afterEach, test} from 'node:test'
import EchoModule from 'laravel-echo'
import PusherJS from 'pusher-js'
import {backend, place, within} from './place.mjs'

const Echo = EchoModule.default ?? EchoModule
const {hostname, port} = new URL(place.url)
const open = []

function echo(broadcaster, user) {
  const e = new Echo({
    broadcaster, Pusher: PusherJS, key: place.key, cluster: '', wsHost: hostname, wsPort: port, httpHost: hostname, httpPort: port, forceTLS: false,
    authorizer: (channel) => ({
      authorize: (socketId, done) => {
        const data = channel.name.startsWith('presence-') ? {user_id: user, user_info: {name: user}} : undefined
        done(null, backend().authorizeChannel(socketId, channel.name, data))
      },
    }),
  })
  open.push(e)
  return e
}

afterEach(() => { for (const e of open.splice(0)) e.disconnect() })

for (const broadcaster of ['pusher', 'reverb']) {
  test(`broadcaster ${broadcaster}: channels, members and whispers`, async () => {
    const [ann, bob] = [echo(broadcaster, 'ann'), echo(broadcaster, 'bob')]
    const ready = (channel) => within(new Promise((resolve) => channel.subscribed(resolve)), channel.name)

    const heard = new Promise((resolve) => ann.channel('orders').listen('.shipped', resolve))
    const secret = new Promise((resolve) => ann.private('orders.1').listen('OrderShipped', resolve))
    await Promise.all([ready(ann.channel('orders')), ready(ann.private('orders.1'))])
    await backend().trigger('orders', 'shipped', {id: 1})
    await backend().trigger('private-orders.1', 'App\\Events\\OrderShipped', {id: 2})
    assert.deepEqual([await within(heard, 'shipped'), await within(secret, 'OrderShipped')], [{id: 1}, {id: 2}])

    const room = ann.join(`room.${broadcaster}`)
    const here = await within(new Promise((resolve) => room.here(resolve)), 'here')
    assert.deepEqual(here, [{name: 'ann'}])
    const joining = new Promise((resolve) => room.joining(resolve))
    const other = bob.join(`room.${broadcaster}`)
    assert.deepEqual(await within(joining, 'joining'), {name: 'bob'})
    const whisper = new Promise((resolve) => room.listenForWhisper('typing', resolve))
    other.whisper('typing', {name: 'bob'})
    assert.deepEqual(await within(whisper, 'whisper'), {name: 'bob'})
    const leaving = new Promise((resolve) => room.leaving(resolve))
    bob.leave(`room.${broadcaster}`)
    assert.deepEqual(await within(leaving, 'leaving'), {name: 'bob'})
  })
}
