package load

import (
	"github.com/snoserver/sno/internal/latency"
	"github.com/snoserver/sno/internal/verify"
)

// Result is what a run has measured.
type Result struct {
	// OK says that nothing was left undone or found broken. What was not begun because of an interruption does not count.
	OK        bool     `json:"ok"`
	Scenario  Scenario `json:"scenario"`
	URL       string   `json:"url"`
	Transport string   `json:"transport"`
	// Interrupted says that the run was ended early.
	Interrupted bool `json:"interrupted"`
	// Connections is how many were made, beside those of publishers.
	Connections int `json:"connections"`
	// Channels is how many there are; their names are Prefix and a number.
	Channels int    `json:"channels"`
	Prefix   string `json:"prefix"`
	// Steps by name: see StepNames.
	Steps map[string]Step `json:"steps"`
	// Lost counts connections that were lost though nobody cut them.
	Lost int `json:"lost_connections"`
	// Resets counts those of subscriptions: messages were not kept for long enough.
	Resets int `json:"resets"`
	// Errors are what the server or the network refused, most frequent first. Much of it was got over: Failures say what was not.
	Errors []Refusal `json:"errors"`
	// Failures are sentences about what was left undone.
	Failures []string `json:"failures"`
	Client   Usage    `json:"client"`
	// Notes are sentences about how to read the numbers.
	Notes        []string      `json:"notes"`
	Verification *Verification `json:"verification,omitempty"`
}

// StepNames are the steps in the order in which they come.
var StepNames = []string{
	"connect", "subscribe", "publish", "deliver", // connections, subscribes and publishes answered; messages that arrived at subscribers
	"enter", "update", "leave", "hear", // changes of presence answered; changes that arrived at followers
	"back", "caught_up", // subscriptions that go on after a storm; those that have all that was published before it ended
}

// Step is how often something was done, and how fast.
type Step struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	// PerSecond is the average over Seconds.
	PerSecond float64             `json:"per_second"`
	Latency   latency.Percentiles `json:"latency_ms"`
}

// Refusal is a kind of error.
type Refusal struct {
	// Name is that of the protocol's code, or what the network said. Code is 0 for the latter.
	Name  string `json:"name"`
	Code  int    `json:"code,omitempty"`
	Count int    `json:"count"`
	// Text is the first one's.
	Text string `json:"text"`
}

// Verification is what Options.Verify has found.
type Verification struct {
	// OK says that something was checked and nothing found.
	OK bool `json:"ok"`
	// Checked says what was, and, if OK, how it is.
	Checked string `json:"checked"`
	// Nothing says why nothing could be checked.
	Nothing string `json:"nothing,omitempty"`
	// Late is how many subscriptions had not come to the end in time: what they did get was whole, unless it is among the violations. In Connect it is how many
	// connections did not answer or were lost.
	Late int `json:"late,omitempty"`
	// Broken and Violations are as verify.Report has them.
	Broken     map[verify.Kind]int `json:"broken"`
	Violations []verify.Violation  `json:"violations"`
}
