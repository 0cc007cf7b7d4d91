// Package native speaks Snö's own protocol, as spec/PROTOCOL.md defines it: JSON frames that carry every feature of the hub.
//
// Guarantees:
//
//   - Frames of a client are handled in the order sent. A frame with a ref is answered by exactly one frame with that ref.
//   - A frame that cannot be understood is answered by an error that names the field; it changes nothing, and the connection goes on. A client that
//     sends maxBadFrames of them is disconnected.
//   - An answer that a client does not read stops the reading of its frames, and costs nobody else anything.
package native
