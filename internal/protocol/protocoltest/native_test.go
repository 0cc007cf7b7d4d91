package protocoltest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/hub"
)

// buildDir is where TestMain lets the program be built.
var buildDir string

var program = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(buildDir, "sno")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/snoserver/sno/cmd/sno").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "sno-protocoltest-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(buildDir) // in the system's temporary directory: what stays does no harm
	http.DefaultClient.CloseIdleConnections()
	httpClient.CloseIdleConnections()
	http2Client.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// process is the real program, run as `sno dev`.
type process struct {
	cmd *exec.Cmd
	Env
}

func startProcess(t *testing.T) *process {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(bin, "dev", "--json", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = t.Output()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()         // says that it was killed
	})
	if err == nil {
		err = json.Unmarshal(line, &p.Env)
	}
	if err != nil || p.URL == "" {
		t.Fatalf("the program did not say that it is ready: %q, %v", line, err)
	}
	return p
}

func TestVectors(t *testing.T) {
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			RunVectors(t, vectorsDir, startProcess(t).Env, transport, func(v Vector) string { return notOver(transport, v) })
		})
	}
}

// notOver says why a vector is not played over a transport.
func notOver(transport string, v Vector) string {
	if transport == "websocket" {
		return ""
	}
	for _, s := range v.Steps {
		if s.Open != nil || s.Binary != nil {
			return "is about WebSocket itself"
		}
	}
	if transport == "poll" {
		return notByPoll[v.Name]
	}
	return notByHTTP[v.Name]
}

var notByHTTP = map[string]string{
	"frame-too-large": "a request that is too large is refused by its status",
}

var notByPoll = map[string]string{
	"frame-too-large":   notByHTTP["frame-too-large"],
	"bad-frames":        "a body that is no JSON is refused as a whole",
	"token":             "each poll brings the token that it means",
	"presence-sessions": "a session that is between two polls gives way to another of the same member",
}

func TestNative(t *testing.T) {
	for _, transport := range slices.Concat(Transports, OverHTTP2) {
		t.Run(transport, func(t *testing.T) {
			Run(t, func(t *testing.T) Server { return startProcess(t).server(transport) })
		})
	}
}

// server is the process as the suite sees it over a transport.
func (p *process) server(transport string) Server {
	s := Server{
		Dial:    func(t *testing.T) Client { return p.dial(t, transport) },
		Publish: p.publish, Drain: p.drain, MessageBytes: 1 << 20,
	}
	if strings.HasPrefix(transport, "poll") {
		s.Drain = nil
	}
	return s
}

func (p *process) drain(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

func (p *process) publish(t *testing.T, channel, data string) hub.Position {
	t.Helper()
	req, err := http.NewRequest("POST", p.URL+"/v1/channels/"+url.PathEscape(channel)+"/messages", strings.NewReader(`{"data":`+data+`}`))
	if err != nil {
		t.Error(err)
		return hub.Position{}
	}
	req.SetBasicAuth(p.Key, p.Secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return hub.Position{}
	}
	defer res.Body.Close()
	var at hub.Position
	body, err := io.ReadAll(res.Body)
	if err = firstError(err, json.Unmarshal(body, &at)); err != nil || at.Offset == 0 {
		t.Errorf("publish: %s %s, %v", res.Status, clip(body), err)
	}
	return at
}

func (p *process) dial(t *testing.T, transport string) Client {
	t.Helper()
	token, err := p.mint(Claims{Channels: map[string][]string{OpenChannels: {"subscribe", "publish", "history", "presence"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := connect(p.URL, transport)
	if err != nil {
		t.Fatal(err)
	}
	c := &nativeClient{s}
	if err := s.send([]byte(`{"type":"connect","token":"` + token + `"}`)); err != nil {
		t.Fatal(err)
	}
	if frame, err := s.next(patience); err != nil || typeOf(frame) != "welcome" {
		t.Fatalf("connect: %s, %v", frame, err)
	}
	return c
}

// nativeClient is the least that Client needs, on a vector's link.
type nativeClient struct{ link }

var _ Client = (*nativeClient)(nil)

type nativeFrame struct {
	Type, Channel, Epoch, Reason, Text string
	Offset, Prev                       uint64
	Code                               hub.Code
	Data                               json.RawMessage
}

func (c *nativeClient) frame(ctx context.Context) (f nativeFrame, err error) {
	deadline, _ := ctx.Deadline()
	raw, err := c.next(time.Until(deadline))
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(raw, &f)
}

func (c *nativeClient) Subscribe(ctx context.Context, channel string, after *hub.Position) error {
	frame := map[string]any{"type": "subscribe", "ref": 1, "channel": channel}
	if after != nil {
		frame["epoch"], frame["offset"] = after.Epoch, after.Offset
	}
	b, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	if err := c.send(b); err != nil {
		return err
	}
	f, err := c.frame(ctx)
	switch {
	case err != nil:
		return err
	case f.Type == "error":
		return &hub.Error{Code: f.Code, Text: f.Text}
	case f.Type != "subscribed":
		return fmt.Errorf("subscribe was answered by %+v", f)
	}
	return nil
}

func (c *nativeClient) Next(ctx context.Context) (Event, error) {
	f, err := c.frame(ctx)
	e := Event{Channel: f.Channel, Position: hub.Position{Epoch: f.Epoch, Offset: f.Offset}, Prev: f.Prev, Data: string(f.Data)}
	switch {
	case err != nil:
		return e, err
	case f.Type == "reset":
		e.Reset = hub.Reset(f.Reason)
	case f.Type == "goaway":
		e.Goaway = true
	case f.Type == "error" && f.Code == hub.CodeGoaway:
		return c.Next(ctx) // the last word before the close
	case f.Type != "message":
		return e, fmt.Errorf("unexpected frame %+v", f)
	}
	return e, nil
}

func (c *nativeClient) Close() { c.drop() }
