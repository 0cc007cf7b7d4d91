//go:build linux

package crowd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Processes are the server's processes, all of which count.
type Processes []int

// CPU is the processor time that they have taken, user and system, to the nanosecond.
func (p Processes) CPU() time.Duration {
	var all time.Duration
	for _, pid := range p {
		all += cpu(cpuClock(pid))
	}
	return all
}

// OwnCPU is the processor time that this process has taken.
func OwnCPU() time.Duration { return cpu(unix.CLOCK_PROCESS_CPUTIME_ID) }

// cpuClock is what clock_getcpuclockid(3) gives: the clock of a process follows from its id.
func cpuClock(pid int) int32 { return int32(^pid)<<3 | 2 }

func cpu(clock int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0 // it has ended
	}
	return time.Duration(t.Nano())
}

// Resident is the memory that they hold in user space, in bytes (VmRSS). What the kernel holds for their sockets is not in it.
func (p Processes) Resident() (int64, error) {
	var all int64
	for _, pid := range p {
		n, err := resident(pid)
		if err != nil {
			return 0, err
		}
		all += n
	}
	return all, nil
}

func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "\nVmRSS:")
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("/proc/%d/status: no VmRSS in kB", pid)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return kib * 1024, err
}

// PinAll keeps all threads of this process, and those to come, on one processor.
func PinAll(processor int) error {
	var set unix.CPUSet
	set.Set(processor)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("processor %d: %w", processor, err)
		}
	}
	return nil
}
