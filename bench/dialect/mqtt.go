//go:build linux

package dialect

import (
	"encoding/binary"
	"fmt"

	"github.com/snoserver/sno/bench/crowd"
)

// mqtt is MQTT 3.1.1 at quality of service 0, over TCP. MQTT's topic is our channel.
type mqtt struct{}

func newMQTT(Options) crowd.Dialect { return mqtt{} }

// Packet types (MQTT 3.1.1, section 2.2.1).
const (
	mqttConnect   = 1 << 4
	mqttConnack   = 2 << 4
	mqttPublish   = 3 << 4
	mqttSubscribe = 8<<4 | 2
	mqttSuback    = 9 << 4
)

// Open connects with a clean session and no keep-alive.
func (mqtt) Open(c *crowd.Conn) {
	id := fmt.Sprintf("load%d", c.Index())
	c.Out = appendLength(append(c.Out, mqttConnect), 12+len(id))
	c.Out = append(c.Out, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0)
	c.Out = appendString(c.Out, id)
}

// Read takes packets. Those with messages are counted as they come.
func (m mqtt) Read(c *crowd.Conn, in []byte) (int, error) {
	if c.Left > 0 {
		return proceed(c, in), nil
	}
	if len(in) < 2 {
		return 0, nil
	}
	size, n := binary.Uvarint(in[1:]) // MQTT's remaining length is written the same way
	if n == 0 {
		return 0, nil
	}
	if n < 0 || n > 4 {
		return 0, fmt.Errorf("a packet's length is % x", in[1:min(len(in), 6)])
	}
	head := 1 + n
	if in[0]&0xf0 == mqttPublish {
		c.Left = int(size)
		return head, nil
	}
	if len(in) < head+int(size) {
		return 0, nil
	}
	return head + int(size), m.packet(c, in[0], in[head:head+int(size)])
}

func (mqtt) packet(c *crowd.Conn, kind byte, body []byte) error {
	switch kind & 0xf0 {
	case mqttConnack:
		if len(body) < 2 || body[1] != 0 {
			return fmt.Errorf("CONNECT is answered by % x", body)
		}
		c.Ready()
	case mqttSuback:
		if len(body) < 3 || body[2] == 0x80 {
			return fmt.Errorf("SUBSCRIBE is answered by % x", body)
		}
		c.Subscribed(len(body) - 2)
	}
	return nil
}

// Subscribe asks for a topic.
func (mqtt) Subscribe(c *crowd.Conn, channel string) {
	c.Out = appendLength(append(c.Out, mqttSubscribe), 2+2+len(channel)+1)
	c.Out = append(appendString(append(c.Out, 0, 1), channel), 0)
}

// Publish sends the payload; at this quality of service there is no answer.
func (mqtt) Publish(c *crowd.Conn, channel string, payload []byte) {
	c.Out = appendLength(append(c.Out, mqttPublish), 2+len(channel)+len(payload))
	c.Out = append(appendString(c.Out, channel), payload...)
}

func appendLength(out []byte, n int) []byte { return binary.AppendUvarint(out, uint64(n)) }

func appendString(out []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(out, uint16(len(s))), s...)
}
