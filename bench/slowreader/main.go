// Command slowreader measures what one reader that takes 1 kB a second costs the others on its channel and the server's memory (promise P6).
//
//	go run ./cmd/sno dev --json --listen 127.0.0.1:7900 --data "$(mktemp -d)" &
//	go run ./bench/slowreader -url ws://127.0.0.1:7900/v1/ws -pid PID
//
// It takes turns without and with the slow reader, and prints a line of JSON for each: delivery latency as the fast readers see it,
// deliveries a second, CPU time and memory of the server.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

var (
	url     = flag.String("url", "ws://127.0.0.1:7878/v1/ws", "the server's WebSocket address")
	pid     = flag.Int("pid", 0, "the server's process, to read its memory and CPU time")
	readers = flag.Int("readers", 1000, "fast readers")
	rate    = flag.Int("rate", 2000, "messages a second")
	seconds = flag.Int("seconds", 10, "seconds a turn")
	turns   = flag.Int("turns", 6, "turns, without and with the slow reader in alternation")
	payload = flag.Int("payload", 50, "bytes of filler in a message")
)

// turn is one line of output.
type turn struct {
	Slow       bool    `json:"slow_reader"`
	Published  int64   `json:"published"`
	Deliveries int64   `json:"deliveries_per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	CPU        float64 `json:"server_cpu_seconds"`
	RSS        int64   `json:"server_rss_kib"`
	Peak       int64   `json:"server_rss_peak_kib"`
	Behind     int64   `json:"slow_reader_bytes_read,omitempty"`
}

type meter struct {
	on        atomic.Bool
	delivered atomic.Int64
	mu        sync.Mutex
	latencies []time.Duration
}

func main() {
	flag.Parse()
	m := &meter{}
	for range *readers {
		go m.read(subscribe())
	}
	publisher := connect()
	out := json.NewEncoder(os.Stdout)
	for i := range *turns {
		t := turn{Slow: i%2 == 1}
		var slow net.Conn
		var taken atomic.Int64
		if t.Slow {
			slow = subscribe()
			go trickle(slow, &taken)
		}
		m.measure(publisher, &t)
		t.Behind = taken.Load()
		if slow != nil {
			slow.Close()
		}
		if err := out.Encode(t); err != nil {
			log.Fatal(err)
		}
	}
}

func connect() *websocket.Conn {
	ws, _, err := websocket.DefaultDialer.Dial(*url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"connect"}`)); err != nil {
		log.Fatal(err)
	}
	return ws
}

// subscribe returns the connection under a WebSocket that follows the channel; its bytes are only searched, not parsed.
func subscribe() net.Conn {
	ws := connect()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","ref":1,"channel":"slowreader"}`)); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		if _, b, err := ws.ReadMessage(); err != nil {
			log.Fatal(err)
		} else if bytes.Contains(b, []byte(`"subscribed"`)) {
			break
		}
	}
	return ws.NetConn()
}

var stamp = []byte(`"stamp":`)

func (m *meter) read(c net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			log.Fatal("a fast reader was cut off: ", err)
		}
		if !m.on.Load() {
			continue
		}
		b := buf[:n]
		m.delivered.Add(int64(bytes.Count(b, stamp)))
		if i := bytes.LastIndex(b, stamp); i >= 0 && len(b) >= i+len(stamp)+19 {
			if ns, err := strconv.ParseInt(string(b[i+len(stamp):i+len(stamp)+19]), 10, 64); err == nil {
				m.mu.Lock()
				m.latencies = append(m.latencies, time.Since(time.Unix(0, ns)))
				m.mu.Unlock()
			}
		}
	}
}

// trickle reads 1 kB a second.
func trickle(c net.Conn, taken *atomic.Int64) {
	buf := make([]byte, 1000)
	for range time.Tick(time.Second) {
		n, err := c.Read(buf)
		taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

func (m *meter) measure(publisher *websocket.Conn, t *turn) {
	m.delivered.Store(0)
	m.latencies = m.latencies[:0]
	cpu := cpuSeconds()
	m.on.Store(true)
	start := time.Now()
	filler := strings.Repeat("x", *payload)
	peak := int64(0)
	for tick := range time.Tick(5 * time.Millisecond) {
		elapsed := tick.Sub(start)
		if elapsed > time.Duration(*seconds)*time.Second {
			break
		}
		for due := int64(elapsed.Seconds() * float64(*rate)); t.Published < due; t.Published++ {
			frame := fmt.Appendf(nil, `{"type":"publish","channel":"slowreader","data":{"stamp":%d,"filler":%q}}`, time.Now().UnixNano(), filler)
			if err := publisher.WriteMessage(websocket.TextMessage, frame); err != nil {
				log.Fatal(err)
			}
		}
		peak = max(peak, rss())
	}
	m.on.Store(false)
	t.CPU = cpuSeconds() - cpu
	t.Deliveries = m.delivered.Load() / int64(*seconds)
	t.RSS, t.Peak = rss(), peak
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.latencies)
	if n := len(m.latencies); n > 0 {
		t.P50, t.P99 = ms(m.latencies[n/2]), ms(m.latencies[n*99/100])
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// rss returns the server's resident memory in KiB.
func rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", *pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// cpuSeconds returns the CPU time that the server has used (proc(5): utime and stime, in ticks of 10 ms).
func cpuSeconds() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", *pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}
