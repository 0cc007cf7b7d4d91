// Package cachetest has real caches, Varnish and nginx, carry a crowd that follows a public channel, with the configurations of docs/caching.md as they stand there.
package cachetest
