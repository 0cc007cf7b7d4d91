// Package telemetry counts and times what the server does, for Prometheus.
//
//   - No label has a value that a client chose: transports, codes, reasons and routes are the server's own words. So the number of
//     series does not grow with what clients do; TestSeriesAreBounded holds it to that.
//   - What can be looked up (sessions, lag, bytes on disk) is looked up when it is scraped and costs nothing before. What that looks at is bounded.
//   - There is no global state: a Telemetry has a registry of its own.
//
// docs/metrics.md lists every metric, and a test compares it with the registry.
package telemetry
