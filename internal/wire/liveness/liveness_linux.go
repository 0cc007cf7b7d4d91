package liveness

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds for a peer whose receive window is closed or which has bytes to acknowledge.
const (
	maxProbes     = 6     // unanswered window probes; they are sent at growing intervals, so this is about 12 s
	recentAckMsec = 35000 // an acknowledgement in this time is a sign of life
)

// Draining reports whether bytes are waiting for a peer that is there but slow: its answer to a ping waits behind them. The kernel knows: a
// peer that keeps its window closed answers window probes, one that has vanished does not, and one that reads acknowledges.
func Draining(nc net.Conn) bool { return draining(tcpInfo(nc)) }

// DrainingFD is Draining of a socket.
func DrainingFD(fd int) bool { return draining(tcpInfoFD(fd)) }

func draining(info *unix.TCPInfo) bool { return info != nil && waiting(info) && alive(info) }

// Lost reports whether bytes are waiting for a peer that gives no sign of life, and when it gave the last one.
func Lost(nc net.Conn) (lastHeard time.Time, lost bool) { return lostPeer(tcpInfo(nc)) }

// LostFD is Lost of a socket.
func LostFD(fd int) (lastHeard time.Time, lost bool) { return lostPeer(tcpInfoFD(fd)) }

func lostPeer(info *unix.TCPInfo) (lastHeard time.Time, lost bool) {
	if info == nil || !waiting(info) || alive(info) {
		return time.Time{}, false
	}
	return time.Now().Add(-time.Duration(info.Last_ack_recv) * time.Millisecond), true
}

func waiting(info *unix.TCPInfo) bool { return info.Notsent_bytes > 0 || info.Unacked > 0 }

func alive(info *unix.TCPInfo) bool {
	closedWindow := info.Unacked == 0 && info.Probes <= maxProbes
	return closedWindow || info.Last_ack_recv < recentAckMsec && info.Retransmits == 0
}

func tcpInfo(nc net.Conn) *unix.TCPInfo {
	tcp := TCP(nc)
	if tcp == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var info *unix.TCPInfo
	_ = raw.Control(func(fd uintptr) { info = tcpInfoFD(int(fd)) })
	return info
}

func tcpInfoFD(fd int) *unix.TCPInfo {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return nil
	}
	return info
}
