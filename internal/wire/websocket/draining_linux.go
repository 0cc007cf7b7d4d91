package websocket

import (
	"net"

	"golang.org/x/sys/unix"
)

// Bounds for a peer whose receive window is closed or which has bytes to acknowledge.
const (
	maxProbes     = 6     // unanswered window probes; they are sent at growing intervals, so this is about 12 s
	recentAckMsec = 35000 // an acknowledgement in this time is a sign of life
)

// draining reports whether bytes are waiting for a peer that is there but slow: its answer to a ping waits behind them. The kernel knows: a
// peer that keeps its window closed answers window probes, one that has vanished does not, and one that reads acknowledges.
func draining(nc net.Conn) bool {
	tcp := tcpOf(nc)
	if tcp == nil {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		waiting := info.Notsent_bytes > 0 || info.Unacked > 0
		closedWindow := info.Unacked == 0 && info.Probes <= maxProbes
		alive = waiting && (closedWindow || info.Last_ack_recv < recentAckMsec && info.Retransmits == 0)
	})
	return alive
}
