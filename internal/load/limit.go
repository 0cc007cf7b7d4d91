package load

import (
	"fmt"
	"syscall"

	"github.com/snoserver/sno/internal/client"
)

// spareFiles is what a process has open besides: its program, its output, and what the runtime needs.
const spareFiles = 32

// needFiles is how many files a run has open at most. All but a WebSocket send by a request of its own beside the one that receives.
func (o *Options) needFiles(t client.Transport) uint64 {
	connections := o.Connections
	switch {
	case o.Scenario == Fanout || o.Scenario == Resume:
		connections += o.Publishers
	case o.Scenario == Publish && o.Verify:
		connections += o.Channels
	}
	if t != client.WebSocket {
		connections *= 2
	}
	return uint64(connections) + spareFiles
}

// checkFiles refuses what this process cannot carry before anything is begun: in the middle it would look as if the server had refused.
func (o *Options) checkFiles(t client.Transport) error {
	limit := o.openFiles
	if limit == 0 {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return fmt.Errorf("the limit of open files: %w", err)
		}
		limit = uint64(r.Cur) //nolint:unconvert // Go has raised it to the hard limit. It is an int64 on FreeBSD
	}
	if need := o.needFiles(t); need > limit {
		return fmt.Errorf("%d connections by %s need %d open files, and this process may have %d (RLIMIT_NOFILE): "+
			"raise it with \"ulimit -n %d\" as root, or LimitNOFILE= of the service, or take fewer connections, or several machines", o.Connections, t, need, limit, need)
	}
	return nil
}
