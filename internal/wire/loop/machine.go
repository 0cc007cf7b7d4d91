package loop

import "time"

// Machine is what a connection says and hears, as bytes.
type Machine interface {
	// Input takes bytes of the peer, which are valid until it returns, and says how many. With Stop there is something for Deliver first.
	Input(b []byte) (n int, then Then)
	// Deliver passes on what Input has put together. It may block.
	Deliver()
	// Output appends what is to be sent next to dst, or gives it as Output.Shared. Without wait it may not block.
	Output(dst []byte, wait bool) Output
	// Closed says that the connection is over. lastHeard is when something came from the peer.
	Closed(lastHeard time.Time)
	Clock
}

// Clock is what a Machine is told by the time.
type Clock interface {
	// Beat is called every wire.Heartbeat.
	Beat()
	// Silent is called wire.Patience after a Beat if the peer was last heard before it, and says whether it is to be given up. about knows more of it.
	Silent(about Kernel) bool
	// Due says that the time of Link.Due is there.
	Due()
}

// Then says what follows an Input.
type Then uint8

const (
	// GoOn says that more can come.
	GoOn Then = iota
	// Stop asks for Deliver.
	Stop
	// Over says that what the peer sends from here on is thrown away. With the end of output the connection ends.
	Over
)

// Output is what an Output has to say. Nothing at all: there is none until Link.Wake.
type Output struct {
	// Buffer is dst with what was appended, of which the bytes from From on are sent.
	Buffer []byte
	From   int
	// Shared is sent instead, and nobody changes it.
	Shared []byte
	// More: Output again at once.
	More bool
	// Wait: only an Output that may wait has more.
	Wait bool
	// End: nothing is sent after this.
	End bool
}

func (o *Output) bytes() []byte {
	if o.Shared != nil {
		return o.Shared
	}
	return o.Buffer[o.From:]
}

// Kernel is what the operating system knows of a peer.
type Kernel interface {
	// Draining reports whether bytes are waiting for a peer that is there but slow.
	Draining() bool
	// Lost reports whether bytes are waiting for a peer that gives no sign of life, and when it gave the last one.
	Lost() (lastHeard time.Time, lost bool)
}

// Link is a Machine's connection. Its methods may be called from anywhere and do not block.
type Link interface {
	// Wake says that Output may have something.
	Wake()
	// Kill ends the connection at once.
	Kill()
	// Due has Due called at about that time, once, instead of at any earlier or later one asked for before. Zero: not.
	Due(at time.Time)
}

const (
	// closePatience is how long a connection that has said all waits for the peer to end it, endPatience how long it may take to say it.
	closePatience = 2 * time.Second
	endPatience   = 10 * time.Second
	// keptBuffer is the largest buffer that goes back to a pool: one huge message must not pin its memory.
	keptBuffer = 256 << 10
	// readBytes is how much is read at once.
	readBytes = 64 << 10
)
