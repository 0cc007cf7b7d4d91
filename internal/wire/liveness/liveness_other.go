//go:build !linux

package liveness

import (
	"net"
	"time"
)

// Draining cannot be known here: a peer that answers no ping is taken for gone. It resumes from its cursor.
func Draining(net.Conn) bool { return false }

// Lost cannot be known here: the kernel ends the connection when its keepalive probes or bytes find no answer.
func Lost(net.Conn) (lastHeard time.Time, lost bool) { return time.Time{}, false }
