// Package outbox tells backends of what happens on their channels: cursors that the server keeps, and that push (webhooks).
//
// Guarantees:
//
//   - An event that is stored is taken by each endpoint that wants it, or is a dead letter of it, or has been removed because too much or for too long was waiting; the
//     last two are counted, logged and shown. There is no other outcome, whatever is killed in between.
//   - The events of a channel come to an endpoint in order. One that is sent again is the only exception: after a crash some come twice, and a dead letter that is sent again
//     comes late. An id tells.
//   - A channel with an event that an endpoint does not take does not hold up its other channels, up to 32 of them.
//   - channel_occupied and channel_vacated of a channel alternate, and so do member_added and member_removed of a member. What was there when the server ended and does not come
//     back has an end afterwards, also if the server was killed.
//   - Memory is bounded by what is there (channels, members) and by the number of endpoints. What an endpoint has not taken is on disk.
//   - A connection is made to no address that is not public, unless its network is allowed: the address of the connection itself is checked, and redirects are not followed.
//
// A hub.Observer tells what happens; what only a protocol knows comes by Outbox.ClientEvent, CacheMiss and SubscriptionCount. The hub, publishing and delivering wait for nothing here.
//
// Lock order: the hub's locks → tracker.mu; courier.keeping → courier.mu. Nothing blocks under tracker.mu and courier.mu.
//
// DESIGN.md says why it is as it is.
package outbox
