package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
)

// Sync says when an append to disk counts as stored.
type Sync uint8

const (
	// SyncAlways acknowledges after an fsync: nothing acknowledged is lost to a power failure.
	SyncAlways Sync = iota
	// SyncInterval acknowledges when the operating system has the bytes, and syncs them every Options.Interval: kill -9 loses nothing, a power
	// failure the last Interval, and the epoch changes then.
	SyncInterval
	// SyncNever leaves it to the operating system when the bytes reach the disk.
	SyncNever
)

// String is the word that the configuration uses.
func (s Sync) String() string {
	switch s {
	case SyncAlways:
		return "always"
	case SyncInterval:
		return "interval"
	case SyncNever:
		return "never"
	}
	return fmt.Sprintf("sync_%d", s)
}

// ParseSync reads what String gives.
func ParseSync(s string) (Sync, error) {
	for _, v := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("sync is %q; it must be always, interval or never", s)
}

// Options says where a log is and how it behaves. Only Dir is needed.
type Options struct {
	// Dir is the data directory. It is made if it does not exist, and belongs to one Log at a time.
	Dir string
	// FS is where Dir is; nil is the operating system's. For tests.
	FS vfs.FS
	// Sink is given what has become durable; nil throws it away.
	Sink hub.Sink
	// Sync says when an append counts as stored; see its values. Default SyncAlways.
	Sync Sync
	// Interval is how often SyncInterval syncs. Default 200 ms.
	Interval time.Duration
	// MemoryBytes bounds all messages that are kept in memory only; the oldest of any channel go first. Default 256 MiB.
	MemoryBytes int64
	// QueueBytes bounds what has been appended and is not yet stored; beyond it appends fail with CodeOverloaded. Default 64 MiB.
	QueueBytes int64
	// ReserveBytes is how much of the disk is left free: with less, appends fail with CodeDiskFull, while there is still room to
	// clean up. Default a twentieth of the disk, at least sixteen memtables and at most 256 MiB (16 MiB on a disk of 64 MiB).
	ReserveBytes int64
	// CacheBytes is for blocks read from disk. Default 64 MiB.
	CacheBytes int64
	// MemtableBytes is how much is gathered in memory before it is written out sorted. Default 1/64 of the disk, 1 to 64 MiB.
	MemtableBytes int64
	// Heads is how many channels that have just been used are held in memory. Default 16,384.
	Heads int
	// OpenFiles bounds the files that are held open for reading. Default 1000.
	OpenFiles int
	// IDWindow is how long the id of a message is remembered at least, also when the message is removed earlier. Default 10 minutes.
	IDWindow time.Duration
	// ForgetAfter is how long a channel without messages is remembered. Default 7 days.
	ForgetAfter time.Duration
	// SweepEvery is how often channels that nobody writes to are looked at for messages that have become too old. Default 1 minute.
	SweepEvery time.Duration
	// Committed is told of each batch that went to disk: of how many messages it was, and how long it took until it was as durable as Sync asks. It
	// is called by the goroutine that all batches pass, so it must be fast. Default: nobody is told.
	Committed func(messages int, took time.Duration)
	// Logger is told what goes wrong in the background. Default slog.Default().
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// BootID says which boot of the machine this is, so that a crash of the process can be told from one of the machine.
	// Default: what Linux says; elsewhere every start counts as a new boot.
	BootID string
}

const bootIDFile = "/proc/sys/kernel/random/boot_id"

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return errors.New("open the store: no directory is given; set store.dir")
	}
	if o.Sync > SyncNever {
		return fmt.Errorf("open the store in %s: %v is not a way to sync", o.Dir, o.Sync)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Sink == nil {
		o.Sink = nullSink{}
	}
	if o.Committed == nil {
		o.Committed = func(int, time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BootID == "" {
		if b, err := os.ReadFile(bootIDFile); err == nil {
			o.BootID = strings.TrimSpace(string(b))
		} else {
			o.BootID = newEpoch() // unknown: assume the worst
		}
	}
	orDefault(&o.OpenFiles, 1000)
	orDefault(&o.Interval, 200*time.Millisecond)
	orDefault(&o.MemoryBytes, 256<<20)
	orDefault(&o.QueueBytes, 64<<20)
	orDefault(&o.CacheBytes, 64<<20)
	orDefault(&o.Heads, 16<<10)
	orDefault(&o.IDWindow, 10*time.Minute)
	orDefault(&o.ForgetAfter, 7*24*time.Hour)
	orDefault(&o.SweepEvery, time.Minute)
	return nil
}

// sizeToDisk sets what depends on how large the disk is.
func (o *Options) sizeToDisk(total int64) {
	orDefault(&o.MemtableBytes, min(max(total/64, 1<<20), 64<<20))
	orDefault(&o.ReserveBytes, min(max(total/20, 16*o.MemtableBytes), 256<<20))
}

type nullSink struct{}

func (nullSink) Deliver([]*hub.Message) {}
func (nullSink) Resync()                {}
