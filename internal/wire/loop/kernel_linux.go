package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockets are the system calls on non-blocking sockets. They return at once, so the scheduler is not told of them, which would cost as much as they do.
type sockets interface {
	read(fd int32, b []byte) (int, syscall.Errno)
	write(fd int32, b []byte) (int, syscall.Errno)
	shutdown(fd int32, how int)
	close(fd int32)
}

type kernel struct{}

func (kernel) read(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), e
}

func (kernel) write(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	return int(n), e
}

func (kernel) shutdown(fd int32, how int) { _ = unix.Shutdown(int(fd), how) } // the peer may be gone

func (kernel) close(fd int32) { _ = unix.Close(int(fd)) }

// epollNow asks for events without waiting.
func epollNow(epoll uintptr, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	return int(n), e
}
