//go:build linux

package crowd

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// perSource is how many connections one address of this machine opens: the kernel has some 28,000 ports for each.
const perSource = 10000

// dial begins a connection. Connections to this machine come from several of its addresses.
func (c *Crowd) dial(k *Conn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("connection %d: %w (raise the limit of open files: ulimit -n)", k.index, err)
	}
	k.fd = int32(fd)
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if c.loopback {
		source := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + int(k.index)/perSource)}}
		// Without IP_BIND_ADDRESS_NO_PORT the kernel looks for a port that is free with any server.
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), unix.Bind(fd, source))
	}
	if err != nil {
		return err
	}
	k.state = connecting
	if err := unix.Connect(fd, &c.address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	if c.opt.TLS {
		c.shake(k)
		return nil
	}
	k.blocked = true
	return c.watch(k, unix.EPOLL_CTL_ADD)
}

func connected(fd int32) error {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = fmt.Errorf("connect: %w", unix.Errno(code))
	}
	return err
}

// await has the loop wait for room in the socket too, or not any more.
func (c *Crowd) await(k *Conn, room bool) error {
	if k.blocked == room {
		return nil
	}
	k.blocked = room
	return c.watch(k, unix.EPOLL_CTL_MOD)
}

func (c *Crowd) watch(k *Conn, how int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: k.index}
	if k.blocked {
		e.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(c.epoll, how, int(k.fd), &e)
}

// wait looks for events, first in a way that the scheduler does not hear of.
func (c *Crowd) wait(wait time.Duration) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(c.epoll), uintptr(unsafe.Pointer(&c.events[0])), uintptr(len(c.events)), 0, 0, 0)
	if errno == 0 && n > 0 || wait <= 0 {
		return int(n) * ok(errno), ignoreInterrupt(errno)
	}
	until := unix.NsecToTimespec(int64(wait))
	got, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(c.epoll), uintptr(unsafe.Pointer(&c.events[0])), uintptr(len(c.events)), uintptr(unsafe.Pointer(&until)), 0, 0)
	return int(got) * ok(errno), ignoreInterrupt(errno)
}

func ok(errno syscall.Errno) int {
	if errno != 0 {
		return 0
	}
	return 1
}

func ignoreInterrupt(errno syscall.Errno) error {
	if errno == 0 || errno == unix.EINTR {
		return nil
	}
	return errno
}

// rawRead and rawWrite are for descriptors that never block: the scheduler need not know.
func rawRead(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func rawWrite(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
