// Package latency measures how long messages take: a histogram that does not grow, and data for messages that says when each was made.
package latency
