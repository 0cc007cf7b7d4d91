package loop

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ringSends is how many sends one system call carries.
	ringSends = 64
	// ringBytes is up to what size a send goes by the ring. Larger ones are dear for being copied, and no cheaper by the dozen (DESIGN.md has the numbers).
	ringBytes = 4 << 10
)

// sender sends to many sockets at once.
type sender interface {
	// add queues a send of b to c. stays: nobody changes b. more: c has more to say after it.
	add(c *Conn, b []byte, stays, more bool)
	// flush carries out what is queued and tells each connection what became of its send.
	flush()
	close()
}

// ring is an io_uring: the kernel takes many sends by one system call. Each carries MSG_DONTWAIT, so it is done, or refused, before the call returns: no buffer
// outlives it. See io_uring_setup(2), io_uring_enter(2); the structures are those of linux/io_uring.h.
type ring struct {
	fd             int
	rings, entries []byte
	sqTail         *uint32
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	sqArray        []uint32
	sqes           []sqe
	cqes           []cqe

	queued [ringSends]struct {
		c           *Conn
		b           []byte
		stays, more bool
		own         []byte // for what does not stay; at most ringBytes
	}
	n int
}

type sqe struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	off, addr     uint64
	len, msgFlags uint32
	userData      uint64
	_             [3]uint64
}

type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

type ringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sqOff                                                                  struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cqOff struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

const (
	opSend        = 26         // IORING_OP_SEND
	offRings      = 0          // IORING_OFF_SQ_RING, with the completions behind it
	offEntries    = 0x10000000 // IORING_OFF_SQES
	enterGet      = 1          // IORING_ENTER_GETEVENTS
	featureSingle = 1          // IORING_FEAT_SINGLE_MMAP: kernels before 5.4 are done without
)

// newRing fails where the kernel has none, or does not let this process have it.
func newRing() (*ring, error) {
	var p ringParams
	fd, _, e := syscall.Syscall(unix.SYS_IO_URING_SETUP, ringSends, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, fmt.Errorf("io_uring: %w", e)
	}
	r := &ring{fd: int(fd), sqMask: p.sqEntries - 1, cqMask: p.cqEntries - 1}
	if p.features&featureSingle == 0 {
		r.close()
		return nil, fmt.Errorf("io_uring: %w", syscall.ENOSYS)
	}
	size := max(p.sqOff.array+4*p.sqEntries, p.cqOff.cqes+p.cqEntries*uint32(unsafe.Sizeof(cqe{})))
	var err error
	if r.rings, err = unix.Mmap(r.fd, offRings, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err == nil {
		r.entries, err = unix.Mmap(r.fd, offEntries, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	at := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.rings[offset]) }
	r.sqTail, r.cqHead, r.cqTail = (*uint32)(at(p.sqOff.tail)), (*uint32)(at(p.cqOff.head)), (*uint32)(at(p.cqOff.tail))
	r.sqArray = unsafe.Slice((*uint32)(at(p.sqOff.array)), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(at(p.cqOff.cqes)), p.cqEntries)
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(&r.entries[0])), p.sqEntries)
	return r, nil
}

func (r *ring) close() {
	for _, m := range [][]byte{r.rings, r.entries} {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}
	_ = unix.Close(r.fd)
}

func (r *ring) add(c *Conn, b []byte, stays, more bool) {
	i := uint32(r.n)
	q := &r.queued[i]
	if !stays {
		q.own = append(q.own[:0], b...)
		b = q.own
	}
	q.c, q.b, q.stays, q.more = c, b, stays, more
	slot := (*r.sqTail + i) & r.sqMask // the tail is ours to move
	r.sqes[slot] = sqe{opcode: opSend, fd: c.fd, addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), len: uint32(len(b)), msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i)}
	r.sqArray[slot] = slot
	if r.n++; r.n == ringSends {
		r.flush()
	}
}

func (r *ring) flush() {
	if r.n == 0 {
		return
	}
	atomic.AddUint32(r.sqTail, uint32(r.n))
	toSubmit, pending := r.n, r.n
	r.n = 0
	for pending > 0 {
		k, _, e := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(toSubmit), uintptr(pending), enterGet, 0, 0)
		if e == 0 {
			toSubmit -= int(k)
		}
		head := *r.cqHead
		for tail := atomic.LoadUint32(r.cqTail); head != tail; head++ {
			done := &r.cqes[head&r.cqMask]
			q := &r.queued[done.userData]
			c, b := q.c, q.b
			q.c, q.b = nil, nil
			pending--
			c.sent(b, int(done.res), q.stays, q.more)
		}
		atomic.StoreUint32(r.cqHead, head)
	}
}

// sent takes the result of a send: so many bytes, or a negative error number.
func (c *Conn) sent(b []byte, res int, stays, more bool) {
	n, e := max(res, 0), syscall.Errno(max(-res, 0))
	if c.took(b, n, e, stays) && more {
		c.Wake()
	}
}
