// Package pusher speaks the protocol of Pusher Channels, versions 4 to 7, and its HTTP API, on the same channels, sessions and presence as every other protocol: the clients and
// server libraries that people have connect unchanged. https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/ is the source of what is not ours.
//
// Guarantees:
//
//   - A publish is stored as its channel's rule demands before it is answered, and all subscribers, whatever they speak, see it in one order.
//   - Data that was published here arrives here byte for byte.
//   - A frame that cannot be carried out costs that frame: it is answered by pusher:error, and the connection goes on.
//   - Who may follow a channel is decided before the hub is asked: the name says whether a signature is needed, and the signature counts for this connection only.
//   - A client that has not asked for it (sno:resume) is sent nothing that Pusher would not send.
//   - A signed request that has published something and comes again later changes nothing, and is answered alike.
//   - Nothing is queued for a client: events are pulled when its socket can take them, each in a WebSocket message of its own.
//
// # Data
//
// A backend publishes data as a string, which is nearly always JSON. What other protocols know as data is one JSON value. So a string that is JSON is stored as it is, as
// that value, and arrives here as the text of it: the same bytes. What a native client publishes arrives in the same way, as its JSON text, and what pusher-js makes of that is
// the value. A string that is not JSON is stored as a JSON string, with the header "pusher-data": "text" beside it, without which it would arrive with quotes.
// Pusher's clients may also send events with a value that is no string, which they get as it is; those have "pusher-data": "value".
//
// Storing every string as a JSON string would be simpler and need no header, but others would get JSON in a string, and strings of theirs that look like JSON would become something else here.
//
// # Users
//
// Who has signed in is a member of a channel that is named after the user and that no client of this protocol can name. To watch others is to follow the presence of such channels.
//
// # Locks
//
// Handler.mu and counts.mu are taken for moments, with no other lock held after them but those of the hub's presence and registry.
package pusher
