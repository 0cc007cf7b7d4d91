// Package messagejson is how a message looks as JSON, for every surface that speaks the native protocol's values: native frames, the HTTP
// API, the command line. spec/PROTOCOL.md, "Values", defines it.
//
//   - What Append writes is valid JSON in valid UTF-8 on one line as far as it is ours; data that was published as JSON stands in it byte for byte.
//   - The same message always gives the same bytes: headers are sorted by name.
//   - Strings that are not UTF-8 (an id of another protocol) have their bad bytes replaced by U+FFFD, as encoding/json does.
//
// It imports the hub's words only, so that the API and the protocols can share it without knowing each other.
package messagejson
