//go:build linux

package crowd

// Hear opens a subscriber without a socket and returns what its dialect makes of the server's bytes: those that are no whole message yet are kept for the next call.
func (c *Crowd) Hear(subscriber int) func(in []byte) error {
	k := &c.conns[subscriber]
	k.state = opening
	k.borrow()
	c.dialect.Open(k)
	var rest []byte
	return func(in []byte) error {
		k.Out = nil
		k.borrow()
		c.readAt = now()
		rest = append(rest, in...)
		for len(rest) > 0 {
			n, err := c.dialect.Read(k, rest)
			if err != nil {
				return err
			}
			if n == 0 {
				return nil
			}
			rest = rest[n:]
		}
		return nil
	}
}

// Conn is a subscriber.
func (c *Crowd) Conn(subscriber int) *Conn { return &c.conns[subscriber] }

var (
	MarkerTime = markerTime
	Beginning  = beginning
)
