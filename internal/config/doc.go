// Package config is the server's configuration: one struct, Config, whose tags say everything there is to know of a key.
//
//   - The names in the file, in the environment and of flags, the defaults, the checks and the reference page derive from the struct, so they cannot differ.
//   - A key that does not exist is an error with its line and the nearest name; so is a value of another type or out of range, with what is
//     allowed. All of a file's errors are reported at once. A configuration that Load returns is complete and valid.
//   - The defaults are safe: loopback only, no app, nobody anonymous, no foreign page.
//   - Secrets are printed by no verb and no logger.
//
// It is the only package that knows the file's syntax (TOML). The others get the words of hub and auth.
//
// The tags: toml is the key; doc its description; values what a string may be, separated by '|'; min and max the bounds of a number,
// duration or size, as a file would write them; restart "yes" that a change shows after the next start only.
package config
