// Package verify checks from outside whether a server keeps its promises: it publishes and reads, and compares what was acknowledged with
// what every reader got and with what the channels hold at the end.
//
// Check is the judge: a pure function of a record, so that it can be tested with every way in which a server can break a promise. It finds:
//
//   - P1: an acknowledged message that the channel no longer holds, though retention did not remove it; a message that a reader got and the channel never had.
//   - P2: readers, acknowledgements and history that do not agree on the order; a publisher's messages out of their order.
//   - P3: a message stored or delivered twice.
//   - P4: an acknowledged message that a reader did not get, without a reset that says so; a message that does not follow the one before.
//
// What it cannot see: a message that was lost before its acknowledgement (that is no broken promise), and what an honest reset hides from one reader.
//
// Run is the experiment: publishers that repeat what was not acknowledged and readers that resume, for as long as the operator wants to kill and
// restart the server. It passes what it recorded to Check. Its memory grows with the messages: about 100 bytes for each, for each reader.
//
// Ledger and Roster judge the same while it happens, for thousands of readers: a Ledger the messages of a channel, a Roster its presence (P5: who was told of every
// change knows who is there). They belong to `sno bench`.
package verify
