// Package local is the embedded log: channels in one directory, on Pebble.
//
// # Guarantees
//
//   - A message that was acknowledged is on disk (Sync = always), also after kill -9 or a power failure. With interval and never, kill -9 loses
//     nothing either; after a power failure the readers are told by a new epoch.
//   - All messages of a log, of all channels and stores, have one order: the order of their offsets. The sink gets them in that order,
//     after they are durable and before their publishers are answered.
//   - A message is read only once it is durable, so nothing that was read is ever taken back.
//   - A repeated message id gets the position of the first message for Options.IDWindow or as long as that is kept, whichever is longer. Of
//     messages that are kept in memory or not at all at most the newest 1,048,576 removed ids are remembered.
//   - What a channel keeps is exact in what is read, and lazy on disk.
//   - Damaged data is refused, not served. A tail that was torn by a crash is cut off: nothing in it was acknowledged.
//   - After a write has failed nothing reaches the directory until the store has been opened again in it, which it
//     does by itself. Reads, and channels in memory, go on meanwhile.
//   - Memory is bounded by the options, whatever the number of channels.
//
// # How a message goes
//
// Append puts it into the queue. The committer takes all that waits, gives each message its place, writes one Pebble batch and applies
// it without waiting for the sync. The finisher waits for the syncs in order; then it makes the batch visible (head.dur), calls the sink and
// answers. So the next batch is made while the disk works on the last, and Pebble's WAL syncs what has gathered meanwhile at once.
//
// # Goroutines and locks
//
// The committer alone changes head.cur, head.trim and the batch being made; the finisher alone acknowledges. Commands (trim, sweep, adopt)
// run in the committer, between batches.
//
// Lock order: Log.sweeps, instance.mu, headShard.mu, Pebble's own. queue.mu, memory.mu and space.mu are leaves: nothing is taken under them.
// A head is loaded from disk under its shard's lock; nothing else blocks under a lock.
package local
