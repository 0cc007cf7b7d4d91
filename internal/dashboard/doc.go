// Package dashboard serves the playground: a page in which a person sees what the server does, in the browser, by the native protocol.
//
// The page is part of the binary and loads nothing from anywhere else; its Content-Security-Policy lets it talk to the server it came
// from and to nobody else. It is given the id of an app key to show in examples, never a secret. Text from messages enters
// the page as text, so a publisher cannot put markup or scripts into it.
package dashboard
