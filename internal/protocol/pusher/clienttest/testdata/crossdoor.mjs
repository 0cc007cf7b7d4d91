// Publishes so many events to a channel, and prints what arrives there until twice as many have.
import {backend, client, disconnectAll, subscribed} from './place.mjs'

const each = Number(process.argv[2])
const channel = await subscribed(client(), 'both')
let arrived = 0
const all = new Promise((resolve) => channel.bind('e', (data) => {
  console.log(`e ${JSON.stringify(data)}`)
  if (++arrived === 2 * each) resolve()
}))
console.log('subscribed')
for (let n = 0; n < each; n++) await backend().trigger('both', 'e', {from: 'pusher', n})
await all
disconnectAll()
process.exit(0)
