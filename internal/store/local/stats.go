package local

// Stats is how the log is just now.
type Stats struct {
	// DiskBytes is what the files of the log have, and Free what is left on their disk.
	DiskBytes, Free uint64
	// MemoryBytes is what the messages kept in memory have, as counted by Options.MemoryBytes.
	MemoryBytes int64
	// QueueBytes is what waits to be stored, as counted by Options.QueueBytes.
	QueueBytes int64
	// Failures counts writes and fsyncs that failed, after each of which the store was opened again.
	Failures uint64
}

// Stats looks at the log. It asks the file system and not the storage engine, which may hold its locks for as long as it is broken.
func (l *Log) Stats() Stats {
	st := Stats{Failures: l.failures.Load(), DiskBytes: l.diskBytes()}
	if u, err := l.o.FS.GetDiskUsage(l.o.Dir); err == nil {
		st.Free = u.AvailBytes
	}
	for _, m := range l.memory {
		m.mu.Lock()
		st.MemoryBytes += m.bytes
		m.mu.Unlock()
	}
	l.queue.mu.Lock()
	st.QueueBytes = l.queue.bytes
	l.queue.mu.Unlock()
	return st
}

func (l *Log) diskBytes() (sum uint64) {
	names, err := l.o.FS.List(l.dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if info, err := l.o.FS.Stat(l.o.FS.PathJoin(l.dir, name)); err == nil { // one that has been removed meanwhile has no bytes
			sum += uint64(info.Size())
		}
	}
	return sum
}
